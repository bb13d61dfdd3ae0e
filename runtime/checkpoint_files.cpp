#include "runtime/checkpoint_files.hpp"

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "runtime/hash.hpp"
#include "runtime/limits.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

constexpr std::string_view manifest_name = "manifest.json";
constexpr std::string_view latest_name = "LATEST";
constexpr std::string_view directory_prefix = "checkpoint-";
constexpr std::size_t latest_bytes_max = 256;
constexpr std::size_t hash_chunk_bytes = std::size_t{8} << 20;

std::string directory_name(std::int64_t step) {
  return fmt::format("{}{}", directory_prefix, step);
}

std::optional<std::int64_t> step_of(std::string_view name) {
  if (!name.starts_with(directory_prefix)) return std::nullopt;
  std::int64_t step = -1;
  const char* begin = name.data() + directory_prefix.size();
  std::from_chars(begin, name.data() + name.size(), step);
  if (step < 0 || directory_name(step) != name) return std::nullopt;
  return step;
}

Result<CheckpointFile> describe_file(const std::string& directory, const std::string& name) {
  COLLIE_TRY(const auto mapped, MappedFile::open_inside(directory, name));
  const std::span<const std::byte> bytes = mapped->bytes();
  mapped->advise(Access::sequential);
  Hash64 hash;
  for (std::size_t begin = 0; begin < bytes.size(); begin += hash_chunk_bytes) {
    hash.update(bytes.subspan(begin, std::min(hash_chunk_bytes, bytes.size() - begin)));
    mapped->drop_pages(begin, hash_chunk_bytes);
  }
  return CheckpointFile{name, bytes.size(), hash.value()};
}

// The manifest vouches for the files; its own hash is that of its text without the hash.
std::string manifest_hash(const Json& manifest) {
  return hash_text(hash_bytes(bytes_of(dump_json(manifest))));
}

std::string manifest_text(std::int64_t step, const Json& run,
                          const std::vector<CheckpointFile>& files) {
  Json manifest;
  manifest["format_version"] = checkpoint_format_version;
  manifest["step"] = step;
  manifest["run"] = run;
  manifest["files"] = Json::array();
  for (const CheckpointFile& file : files) {
    manifest["files"].push_back(
        {{"name", file.name}, {"bytes", file.size_bytes}, {"hash", hash_text(file.hash)}});
  }
  manifest["manifest_hash"] = manifest_hash(manifest);
  return dump_json(manifest) + "\n";
}

Result<CheckpointFile> read_file_entry(const Json& json, const std::string& path,
                                       std::size_t position) {
  COLLIE_TRY(const JsonReader entry,
             JsonReader::open(json, path, fmt::format("files.{}", position)));
  CheckpointFile file;
  COLLIE_TRY(file.name, entry.get_string("name"));
  COLLIE_TRY(const std::int64_t size_bytes, entry.get_int("bytes", 0, INT64_MAX));
  COLLIE_TRY(const std::string hash, entry.get_string("hash"));
  if (const Status safe = safe_component(file.name); !safe.ok()) {
    return entry.error("name", safe.error().message);
  }
  const std::optional<std::uint64_t> value = hash_from_text(hash);
  if (!value) return entry.error("hash", "expected 16 hexadecimal digits");
  file.size_bytes = static_cast<std::uint64_t>(size_bytes);
  file.hash = *value;
  return file;
}

Result<std::vector<CheckpointFile>> read_file_entries(const JsonReader& manifest,
                                                      const std::string& path) {
  COLLIE_TRY(const Json* entries, manifest.get_array("files"));
  if (entries->size() > limits::checkpoint_files_max) {
    return manifest.error("files", fmt::format("{} files are over the limit of {}", entries->size(),
                                               limits::checkpoint_files_max));
  }
  std::vector<CheckpointFile> files;
  std::unordered_set<std::string> names{std::string(manifest_name)};
  for (const Json& json : *entries) {
    COLLIE_TRY(CheckpointFile file, read_file_entry(json, path, files.size()));
    if (!names.insert(file.name).second) {
      return manifest.error("files", fmt::format("{} appears twice", quoted_name(file.name)));
    }
    files.push_back(std::move(file));
  }
  return files;
}

Status check_present(const std::string& directory, const CheckpointFile& file) {
  auto mapped = MappedFile::open_inside(directory, file.name);
  if (!mapped.ok() && mapped.error().code == ErrorCode::not_found) {
    return make_error(ErrorCode::invalid_file, "{}: is missing; the checkpoint is damaged",
                      join_path(directory, file.name));
  }
  COLLIE_TRY_VOID(mapped);
  const std::size_t size_bytes = (*mapped)->bytes().size();
  if (size_bytes == file.size_bytes) return ok_status();
  return make_error(ErrorCode::invalid_file,
                    "{}: has {} bytes, the manifest says {}; the checkpoint is damaged",
                    join_path(directory, file.name), size_bytes, file.size_bytes);
}

// The step LATEST names. None where it is missing; an error where it is not what was written.
Result<std::optional<std::int64_t>> latest_step(const std::string& run_directory) {
  const std::string path = join_path(run_directory, latest_name);
  if (!exists(path)) return std::optional<std::int64_t>();
  COLLIE_TRY(std::string text, read_file(path, latest_bytes_max));
  while (text.ends_with('\n')) text.pop_back();
  const std::optional<std::int64_t> step = step_of(text);
  if (step) return step;
  return make_error(ErrorCode::invalid_file, "{}: {} is not the name of a checkpoint", path,
                    quoted_name(text));
}

Result<Checkpoint> open_checked(const std::string& directory, std::int64_t step,
                                CheckpointCheck check) {
  COLLIE_TRY(Checkpoint checkpoint, Checkpoint::open(directory));
  if (checkpoint.step() != step) {
    return make_error(ErrorCode::invalid_file, "{}: is of step {}; rename it back", directory,
                      checkpoint.step());
  }
  if (check == CheckpointCheck::hashes) COLLIE_TRY_VOID(checkpoint.verify());
  return checkpoint;
}

}  // namespace

Result<Checkpoint> Checkpoint::open(const std::string& directory) {
  const std::string path = join_path(directory, manifest_name);
  COLLIE_TRY(const std::string text,
             read_file_inside(directory, manifest_name, limits::json_bytes_max));
  COLLIE_TRY(Json json, parse_json(text, path));
  COLLIE_TRY(const JsonReader manifest, JsonReader::open(json, path));
  COLLIE_TRY(const std::int64_t version, manifest.get_int("format_version", 0, INT64_MAX));
  if (version != checkpoint_format_version) {
    return make_error(ErrorCode::unsupported,
                      "{}: format_version {} is not {}; use the program that wrote it", path,
                      version, checkpoint_format_version);
  }
  Checkpoint checkpoint;
  checkpoint.path_ = directory;
  COLLIE_TRY(checkpoint.step_, manifest.get_int("step", 0, INT64_MAX));
  COLLIE_TRY(checkpoint.files_, read_file_entries(manifest, path));
  COLLIE_TRY(const std::string hash, manifest.get_string("manifest_hash"));
  json.erase("manifest_hash");
  if (manifest_hash(json) != hash) {
    return make_error(ErrorCode::invalid_file,
                      "{}: does not match its own hash; the checkpoint is damaged", path);
  }
  if (json.contains("run")) checkpoint.run_ = std::move(json["run"]);
  for (const CheckpointFile& file : checkpoint.files_) {
    COLLIE_TRY_VOID(check_present(directory, file));
  }
  return checkpoint;
}

const CheckpointFile* Checkpoint::find(std::string_view name) const {
  const auto found = std::find_if(files_.begin(), files_.end(),
                                  [&](const CheckpointFile& file) { return file.name == name; });
  return found == files_.end() ? nullptr : &*found;
}

Status Checkpoint::verify() const {
  for (const CheckpointFile& file : files_) {
    COLLIE_TRY(const CheckpointFile found, describe_file(path_, file.name));
    if (found.size_bytes == file.size_bytes && found.hash == file.hash) continue;
    return make_error(ErrorCode::invalid_file,
                      "{}: content has hash {}, the manifest says {}; the checkpoint is damaged",
                      join_path(path_, file.name), hash_text(found.hash), hash_text(file.hash));
  }
  return ok_status();
}

Result<SafetensorsFile> Checkpoint::open_safetensors(std::string_view name) const {
  if (find(name) == nullptr) {
    return make_error(ErrorCode::not_found, "{}: has no file {}", path_, quoted_name(name));
  }
  COLLIE_TRY(auto mapped, MappedFile::open_inside(path_, name));
  return SafetensorsFile::open(std::move(mapped));
}

Result<TensorDirectory> Checkpoint::open_tensors(std::string_view stem) const {
  return TensorDirectory::open(path_, stem);
}

Result<std::string> Checkpoint::read_text(std::string_view name, std::size_t max_bytes) const {
  if (find(name) == nullptr) {
    return make_error(ErrorCode::not_found, "{}: has no file {}", path_, quoted_name(name));
  }
  return read_file_inside(path_, name, max_bytes);
}

std::string checkpoint_directory(const std::string& run_directory, std::int64_t step) {
  return join_path(run_directory, directory_name(step));
}

Result<CheckpointWriter> CheckpointWriter::create(const std::string& run_directory,
                                                  std::int64_t step) {
  COLLIE_CHECK(step >= 0, "checkpoint of step {}", step);
  // Before anything is written: what a crash left behind may be what fills the disk.
  if (is_directory(run_directory)) COLLIE_TRY_VOID(remove_leftovers(run_directory));
  COLLIE_TRY(DirectoryWriter directory,
             DirectoryWriter::create(checkpoint_directory(run_directory, step)));
  return CheckpointWriter(std::move(directory), run_directory, step);
}

Result<std::string> CheckpointWriter::commit(const Json& run) {
  const std::string& aside = directory_.temporary_path();
  COLLIE_TRY(const std::vector<std::string> names, list_directory(aside));
  std::vector<CheckpointFile> files;
  for (const std::string& name : names) {
    COLLIE_TRY(CheckpointFile file, describe_file(aside, name));
    files.push_back(std::move(file));
  }
  COLLIE_TRY_VOID(directory_.write_file(manifest_name, manifest_text(step_, run, files)));
  COLLIE_TRY_VOID(directory_.commit());
  COLLIE_TRY_VOID(
      write_file_atomic(join_path(run_directory_, latest_name), directory_name(step_) + "\n"));
  return directory_.path();
}

Result<std::vector<std::int64_t>> list_checkpoints(const std::string& run_directory) {
  std::vector<std::int64_t> steps;
  if (!is_directory(run_directory)) return steps;
  COLLIE_TRY(const std::vector<std::string> names, list_directory(run_directory));
  for (const std::string& name : names) {
    const std::optional<std::int64_t> step = step_of(name);
    if (step && is_directory(join_path(run_directory, name))) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

Result<FoundCheckpoint> find_latest_checkpoint(const std::string& run_directory,
                                               CheckpointCheck check) {
  COLLIE_TRY(std::vector<std::int64_t> steps, list_checkpoints(run_directory));
  FoundCheckpoint found;
  const Result<std::optional<std::int64_t>> latest = latest_step(run_directory);
  if (!latest.ok()) found.damaged.push_back(latest.error());
  std::reverse(steps.begin(), steps.end());
  if (latest.ok() && *latest) {
    const std::int64_t step = **latest;
    // Those newer than LATEST are of a branch that the run left: they come last.
    std::stable_partition(steps.begin(), steps.end(), [&](std::int64_t s) { return s <= step; });
    if (std::find(steps.begin(), steps.end(), step) == steps.end())
      steps.insert(steps.begin(), step);
  }
  for (const std::int64_t step : steps) {
    auto checkpoint = open_checked(checkpoint_directory(run_directory, step), step, check);
    if (checkpoint.ok()) {
      found.checkpoint = std::move(checkpoint).value();
      return found;
    }
    found.damaged.push_back(checkpoint.error());
  }
  return found;
}

Status prune_checkpoints(const std::string& run_directory, std::int64_t keep_last) {
  if (!is_directory(run_directory)) return ok_status();
  COLLIE_TRY_VOID(remove_leftovers(run_directory));
  if (keep_last <= 0) return ok_status();
  COLLIE_TRY(const std::vector<std::int64_t> steps, list_checkpoints(run_directory));
  const Result<std::optional<std::int64_t>> latest = latest_step(run_directory);
  const auto count = static_cast<std::int64_t>(steps.size());
  for (std::int64_t i = 0; i < count - keep_last; ++i) {
    const std::int64_t step = steps[static_cast<std::size_t>(i)];
    if (latest.ok() && *latest == step) continue;
    COLLIE_TRY_VOID(retire_directory(checkpoint_directory(run_directory, step)));
  }
  return ok_status();
}

}  // namespace collie
