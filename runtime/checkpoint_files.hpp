// Checkpoints on disk, whatever is in them: <run>/checkpoint-<step>/ holds named files and a
// manifest.json with their sizes and hashes; <run>/LATEST names the newest. A checkpoint appears
// complete or not at all, and one that was damaged later is found out and named.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/file.hpp"
#include "runtime/json.hpp"
#include "runtime/result.hpp"
#include "runtime/safetensors.hpp"

namespace collie {

inline constexpr int checkpoint_format_version = 1;

struct CheckpointFile {
  std::string name;
  std::uint64_t size_bytes = 0;
  std::uint64_t hash = 0;
};

// An opened checkpoint: the manifest is valid, all files are there and have their sizes.
class Checkpoint {
 public:
  // Errors name the bad file.
  static Result<Checkpoint> open(const std::string& directory);

  const std::string& path() const { return path_; }
  std::int64_t step() const { return step_; }
  const Json& run() const { return run_; }  // what the writer stored
  const std::vector<CheckpointFile>& files() const { return files_; }
  const CheckpointFile* find(std::string_view name) const;
  // Reads every byte and compares the hashes.
  Status verify() const;

  Result<SafetensorsFile> open_safetensors(std::string_view name) const;  // file name in full
  Result<TensorDirectory> open_tensors(std::string_view stem) const;      // single or sharded
  Result<std::string> read_text(std::string_view name, std::size_t max_bytes) const;

 private:
  std::string path_;
  std::int64_t step_ = 0;
  Json run_;
  std::vector<CheckpointFile> files_;
};

// Writes one checkpoint. Without commit() nothing remains.
class CheckpointWriter {
 public:
  // First removes what crashed writers left in the run directory.
  static Result<CheckpointWriter> create(const std::string& run_directory, std::int64_t step);

  // Where the files go (SafetensorsWriter, write_file, create_file); several threads may.
  const DirectoryWriter& directory() const { return directory_; }
  // Hashes the files, writes the manifest, makes the checkpoint appear and points LATEST to it.
  // Returns its path. An older checkpoint of the same step is replaced.
  Result<std::string> commit(const Json& run);

 private:
  CheckpointWriter(DirectoryWriter directory, std::string run_directory, std::int64_t step)
      : directory_(std::move(directory)), run_directory_(std::move(run_directory)), step_(step) {}
  DirectoryWriter directory_;
  std::string run_directory_;
  std::int64_t step_;
};

struct FoundCheckpoint {
  std::optional<Checkpoint> checkpoint;  // none: nothing usable
  std::vector<Error> damaged;            // newer ones that were passed over, to be shown
};

enum class CheckpointCheck { sizes, hashes };

// The checkpoint to resume from: the one LATEST names, else, where it is damaged or missing, the
// newest older one that is whole, else the newest. A run directory that does not exist has none.
Result<FoundCheckpoint> find_latest_checkpoint(const std::string& run_directory,
                                               CheckpointCheck check = CheckpointCheck::hashes);

// Steps of the checkpoint directories there are, oldest first; not opened.
Result<std::vector<std::int64_t>> list_checkpoints(const std::string& run_directory);
std::string checkpoint_directory(const std::string& run_directory, std::int64_t step);

// Removes all but the newest keep_last (0: keeps all) and what crashed writers left behind. The one
// LATEST names always stays.
Status prune_checkpoints(const std::string& run_directory, std::int64_t keep_last);

}  // namespace collie
