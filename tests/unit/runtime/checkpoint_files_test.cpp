#define BOOST_TEST_MODULE checkpoint_files
#include "runtime/checkpoint_files.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "tests/unit/runtime/temporary_directory.hpp"

using namespace collie;
using collie::test::check_error;
using collie::test::message_of;
using collie::test::TemporaryDirectory;

namespace {

std::string part_text(std::int64_t step) {
  return fmt::format("state of step {}", step);
}

// A checkpoint with one safetensors part (tensor "w": 8 bytes) and one text file.
void fill(const CheckpointWriter& writer, std::int64_t step) {
  SafetensorsWriterOptions options;
  options.stem = "part-0";
  auto tensors = SafetensorsWriter::create(writer.directory(), {{"w", DType::u8, {8}}}, options);
  BOOST_REQUIRE(tensors.ok());
  BOOST_REQUIRE(tensors->append("w", bytes_of(fmt::format("{:08}", step))).ok());
  BOOST_REQUIRE(tensors->close().ok());
  BOOST_REQUIRE(writer.directory().write_file("state.txt", part_text(step)).ok());
}

std::string save(const TemporaryDirectory& run, std::int64_t step) {
  auto writer = CheckpointWriter::create(run.path(), step);
  BOOST_REQUIRE(writer.ok());
  fill(*writer, step);
  const auto path = writer->commit(Json{{"seed", 7}, {"lr", 1e-4}});
  BOOST_REQUIRE_EQUAL(message_of(path), "no error");
  return *path;
}

std::int64_t found_step(const TemporaryDirectory& run, std::size_t damaged_count) {
  const auto found = find_latest_checkpoint(run.path());
  BOOST_REQUIRE(found.ok());
  BOOST_TEST(found->damaged.size() == damaged_count);
  return found->checkpoint ? found->checkpoint->step() : -1;
}

// The text with what stands for `from` replaced, and the manifest's own hash left as it was.
void edit(const TemporaryDirectory& run, std::string_view name, std::string_view from,
          std::string_view to) {
  std::string text = run.get(name);
  const std::size_t at = text.find(from);
  BOOST_REQUIRE(at != std::string::npos);
  run.put(name, text.replace(at, from.size(), to));
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_was_written_is_read) {
  const TemporaryDirectory run;
  const std::string path = save(run, 20);
  BOOST_TEST(path == run.file("checkpoint-20"));
  BOOST_TEST(run.get("LATEST") == "checkpoint-20\n");
  const auto checkpoint = Checkpoint::open(path);
  BOOST_REQUIRE_EQUAL(message_of(checkpoint), "no error");
  BOOST_TEST(checkpoint->step() == 20);
  BOOST_TEST(checkpoint->run()["lr"].get<double>() == 1e-4);
  BOOST_TEST(checkpoint->files().size() == 2u);
  BOOST_TEST(checkpoint->find("state.txt")->size_bytes == part_text(20).size());
  BOOST_CHECK(checkpoint->verify().ok());
  BOOST_TEST(*checkpoint->read_text("state.txt", 100) == part_text(20));
  BOOST_TEST(checkpoint->open_safetensors("part-0.safetensors")->find("w")->size_bytes == 8u);
  BOOST_CHECK(checkpoint->open_tensors("part-0")->tensor("w").ok());
  check_error(checkpoint->read_text("other", 100), ErrorCode::not_found, "has no file 'other'");
  check_error(checkpoint->open_safetensors("../x"), ErrorCode::not_found, "has no file '../x'");
}

BOOST_AUTO_TEST_CASE(damage_names_the_file) {
  const TemporaryDirectory run;
  const std::string path = save(run, 1);
  const auto invalid = ErrorCode::invalid_file;
  std::filesystem::resize_file(path + "/state.txt", 3);
  check_error(Checkpoint::open(path), invalid, "state.txt: has 3 bytes, the manifest says 15");
  std::filesystem::remove(path + "/state.txt");
  check_error(Checkpoint::open(path), invalid, "state.txt: is missing; the checkpoint is damaged");
  std::filesystem::remove(path + "/manifest.json");
  check_error(Checkpoint::open(path), ErrorCode::not_found, "manifest.json: cannot open");
  check_error(Checkpoint::open(run.file("none")), ErrorCode::not_found, "none: cannot open");
}

BOOST_AUTO_TEST_CASE(every_flipped_bit_is_found) {
  const TemporaryDirectory run;
  const std::string path = save(run, 3);
  for (const char* name : {"part-0.safetensors", "state.txt", "manifest.json"}) {
    const std::string file = "checkpoint-3/" + std::string(name);
    const std::string original = run.get(file);
    for (std::size_t bit = 0; bit < original.size() * 8; bit += 3) {
      std::string flipped = original;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      run.put(file, flipped);
      const auto checkpoint = Checkpoint::open(path);
      const bool found = !checkpoint.ok() || !checkpoint->verify().ok();
      BOOST_REQUIRE_MESSAGE(found, name << " bit " << bit);
    }
    run.put(file, original);
  }
  BOOST_CHECK(Checkpoint::open(path)->verify().ok());
}

BOOST_AUTO_TEST_CASE(manifests_are_hostile) {
  const TemporaryDirectory run;
  const std::string path = save(run, 1);
  const std::string original = run.get("checkpoint-1/manifest.json");
  const auto refused = [&](std::string_view from, std::string_view to, std::string_view message,
                           ErrorCode code = ErrorCode::invalid_file) {
    edit(run, "checkpoint-1/manifest.json", from, to);
    check_error(Checkpoint::open(path), code, message);
    run.put("checkpoint-1/manifest.json", original);
  };
  refused("state.txt", "../state.txt", "files.1.name: file name '../state.txt' is not allowed");
  refused("state.txt", "manifest.json", "files: 'manifest.json' appears twice");
  refused("state.txt", "part-0.safetensors", "files: 'part-0.safetensors' appears twice");
  refused("\"step\": 1", "\"step\": -1", "step: expected an integer >= 0, got -1");
  refused("\"step\": 1", "\"step\": 2", "manifest.json: does not match its own hash");
  refused("\"format_version\": 1", "\"format_version\": 2", "format_version 2 is not 1",
          ErrorCode::unsupported);
  refused("\"bytes\": 15", "\"bytes\": \"15\"", "files.1.bytes: expected an integer >= 0");
  refused("\"hash\": \"", "\"hash\": \"x", "files.0.hash: expected 16 hexadecimal digits");
  refused("manifest_hash", "manifest_hush", "manifest_hash: missing");
  refused("{", "", "not valid JSON");
}

BOOST_AUTO_TEST_CASE(the_newest_whole_checkpoint_is_found) {
  const TemporaryDirectory run;
  BOOST_TEST(found_step(run, 0) == -1);
  for (const std::int64_t step : {9, 10, 100}) save(run, step);
  BOOST_TEST(found_step(run, 0) == 100);
  run.put("checkpoint-100/state.txt", "state of step 1O0");  // same size, other content
  BOOST_TEST(find_latest_checkpoint(run.path(), CheckpointCheck::sizes)->checkpoint->step() == 100);
  BOOST_TEST(found_step(run, 1) == 10);
  std::filesystem::remove_all(run.file("checkpoint-100"));
  BOOST_TEST(found_step(run, 1) == 10);
  std::filesystem::remove(run.file("LATEST"));
  BOOST_TEST(found_step(run, 0) == 10);
  run.put("LATEST", "../../etc");
  BOOST_TEST(found_step(run, 1) == 10);
  std::filesystem::remove(run.file("checkpoint-10/part-0.safetensors"));
  std::filesystem::remove(run.file("checkpoint-9/manifest.json"));
  BOOST_TEST(found_step(run, 3) == -1);
}

BOOST_AUTO_TEST_CASE(latest_wins_over_a_branch_that_was_left) {
  const TemporaryDirectory run;
  for (const std::int64_t step : {50, 60, 20}) save(run, step);
  BOOST_TEST(found_step(run, 0) == 20);
  std::filesystem::remove(run.file("checkpoint-20/manifest.json"));
  BOOST_TEST(found_step(run, 1) == 60);
  std::filesystem::rename(run.file("checkpoint-60"), run.file("checkpoint-70"));
  BOOST_TEST(found_step(run, 2) == 50);  // one that was renamed is not trusted
}

BOOST_AUTO_TEST_CASE(saving_a_step_again_replaces_it) {
  const TemporaryDirectory run;
  save(run, 5);
  auto writer = CheckpointWriter::create(run.path(), 5);
  BOOST_REQUIRE(writer.ok() && writer->directory().write_file("only.txt", "x").ok());
  BOOST_REQUIRE(writer->commit(Json::object()).ok());
  BOOST_TEST(Checkpoint::open(run.file("checkpoint-5"))->files().size() == 1u);
  BOOST_TEST(list_directory(run.path())->size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_crash_while_saving_keeps_the_older_one) {
  const TemporaryDirectory run;
  save(run, 1);
  const auto crash_while_saving = [&] {
    const pid_t pid = fork();
    if (pid == 0) {
      auto writer = CheckpointWriter::create(run.path(), 2);
      fill(*writer, 2);
      _exit(0);  // before commit, without destructors
    }
    waitpid(pid, nullptr, 0);
    BOOST_TEST(list_directory(run.path())->size() == 3u);
    BOOST_TEST(found_step(run, 0) == 1);
  };
  crash_while_saving();
  BOOST_CHECK(prune_checkpoints(run.path(), 0).ok());
  BOOST_TEST(list_directory(run.path())->size() == 2u);
  crash_while_saving();
  const auto writer = CheckpointWriter::create(run.path(), 3);  // makes room before it writes
  BOOST_CHECK(writer.ok());
  BOOST_TEST(list_directory(run.path())->size() == 3u);
}

BOOST_AUTO_TEST_CASE(old_checkpoints_are_pruned) {
  const TemporaryDirectory run;
  BOOST_CHECK(prune_checkpoints(run.file("none"), 1).ok());
  for (const std::int64_t step : {1, 2, 10, 11}) save(run, step);
  BOOST_CHECK(prune_checkpoints(run.path(), 0).ok());
  BOOST_TEST(list_checkpoints(run.path())->size() == 4u);
  BOOST_CHECK(prune_checkpoints(run.path(), 2).ok());
  BOOST_TEST(*list_checkpoints(run.path()) == (std::vector<std::int64_t>{10, 11}),
             boost::test_tools::per_element());
  run.put("LATEST", "checkpoint-10\n");
  BOOST_CHECK(prune_checkpoints(run.path(), 1).ok());
  BOOST_TEST(list_checkpoints(run.path())->size() == 2u);  // the one LATEST names stays
  run.put("checkpoint-x", "");
  run.put("checkpoint-010", "");
  BOOST_TEST(list_checkpoints(run.path())->size() == 2u);
}
