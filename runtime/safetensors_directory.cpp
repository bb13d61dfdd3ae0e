#include "runtime/json.hpp"
#include "runtime/limits.hpp"
#include "runtime/safetensors.hpp"
#include "runtime/suggest.hpp"

namespace collie {

namespace {

// weight_map of an index: tensor -> shard, and the shards in order of their names.
struct WeightMap {
  std::vector<std::pair<std::string, std::string>> tensors;
  std::map<std::string, std::size_t> shards;  // name -> position in TensorDirectory's files
};

Result<WeightMap> read_weight_map(const std::string& directory, std::string_view name) {
  const std::string path = join_path(directory, name);
  COLLIE_TRY(const std::string text, read_file_inside(directory, name, limits::json_bytes_max));
  COLLIE_TRY(const Json json, parse_json(text, path));
  COLLIE_TRY(const JsonReader index, JsonReader::open(json, path));
  COLLIE_TRY(const JsonReader weight_map, index.get_object("weight_map"));
  WeightMap map;
  for (const auto& [tensor, shard] : weight_map.json().items()) {
    if (!shard.is_string()) {
      return weight_map.error(quoted_name(tensor),
                              "expected a file name, got " + describe_json(shard));
    }
    const std::string& shard_name = shard.get_ref<const std::string&>();
    if (const Status safe = safe_component(shard_name); !safe.ok()) {
      return weight_map.error(quoted_name(tensor), safe.error().message);
    }
    map.shards.emplace(shard_name, 0);
    map.tensors.emplace_back(tensor, shard_name);
  }
  if (map.tensors.empty()) return index.error("weight_map", "is empty");
  if (map.shards.size() > limits::index_shards_max) {
    return index.error("weight_map", fmt::format("names {} files, the limit is {}",
                                                 map.shards.size(), limits::index_shards_max));
  }
  return map;
}

}  // namespace

Result<TensorDirectory> TensorDirectory::open(const std::string& directory, std::string_view stem) {
  const std::string single = fmt::format("{}.safetensors", stem);
  const std::string index = single + ".index.json";
  TensorDirectory opened;
  opened.path_ = directory;
  opened.files_ = std::make_shared<std::vector<SafetensorsFile>>();
  if (!is_directory(directory)) {
    return make_error(ErrorCode::not_found, "{}: no such directory; check the path", directory);
  }
  if (exists(join_path(directory, single))) {
    COLLIE_TRY_VOID(opened.add_single(single));
  } else if (exists(join_path(directory, index))) {
    COLLIE_TRY_VOID(opened.add_index(index));
  } else {
    return make_error(ErrorCode::not_found,
                      "{}: has neither {} nor {}; weights in another format must be converted to "
                      "safetensors first",
                      directory, single, index);
  }
  for (const auto& [name, located] : opened.located_) {
    opened.total_bytes_ += located.entry->size_bytes;
  }
  return opened;
}

Status TensorDirectory::add_single(std::string_view name) {
  COLLIE_TRY(auto mapped, MappedFile::open_inside(path_, name));
  COLLIE_TRY(SafetensorsFile file, SafetensorsFile::open(std::move(mapped)));
  files_->push_back(std::move(file));
  const SafetensorsFile& opened = files_->front();
  for (const TensorEntry& entry : opened.entries()) {
    located_.emplace(entry.name, LocatedTensor{&opened, &entry});
  }
  return ok_status();
}

Status TensorDirectory::add_index(std::string_view name) {
  COLLIE_TRY(WeightMap map, read_weight_map(path_, name));
  const std::string index_path = join_path(path_, name);
  for (auto& [shard, position] : map.shards) {
    position = files_->size();
    auto mapped = MappedFile::open_inside(path_, shard);
    if (!mapped.ok() && mapped.error().code == ErrorCode::not_found) {
      return make_error(ErrorCode::not_found,
                        "{}: names the file {}, which is missing; copy it there", index_path,
                        quoted_name(shard));
    }
    COLLIE_TRY_VOID(mapped);
    COLLIE_TRY(SafetensorsFile file, SafetensorsFile::open(std::move(mapped).value()));
    files_->push_back(std::move(file));
  }
  for (const auto& [tensor, shard] : map.tensors) {
    const SafetensorsFile& file = (*files_)[map.shards.at(shard)];
    const TensorEntry* entry = file.find(tensor);
    if (entry == nullptr) {
      return make_error(ErrorCode::invalid_file,
                        "{}: says that tensor {} is in {}, which does not have it", index_path,
                        quoted_name(tensor), quoted_name(shard));
    }
    located_.emplace(tensor, LocatedTensor{&file, entry});
  }
  return ok_status();
}

std::vector<std::string> TensorDirectory::names() const {
  std::vector<std::string> names;
  for (const auto& [name, located] : located_) names.push_back(name);
  return names;
}

const LocatedTensor* TensorDirectory::find(std::string_view name) const {
  const auto found = located_.find(name);
  return found == located_.end() ? nullptr : &found->second;
}

Result<Tensor> TensorDirectory::tensor(std::string_view name) const {
  const LocatedTensor* located = find(name);
  if (located != nullptr) return located->file->tensor(*located->entry);
  return make_error(ErrorCode::not_found, "{}: tensor {} is missing", path_, quoted_name(name));
}

}  // namespace collie
