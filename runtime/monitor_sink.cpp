#include "runtime/monitor_sink.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "runtime/file.hpp"

namespace collie {

namespace {

constexpr std::string_view csv_header = "step,time_s,event,name,value";

class JsonLinesSink final : public MetricSink {
 public:
  explicit JsonLinesSink(LineWriter writer) : writer_(std::move(writer)) {}

  Status write(const MetricRecord& record) override {
    Json line = {{"event", record.event}};
    for (const auto& [name, value] : record.fields.items()) line[name] = value;
    return writer_.append_line(dump_json(line, 0));
  }
  Status sync() override { return writer_.sync(); }

 private:
  LineWriter writer_;
};

// RFC 4180: quoted where it has to be; a line break would be one, so it becomes a space.
std::string csv_text(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char byte : text) {
    if (byte == '"') quoted += '"';
    quoted += byte == '\n' || byte == '\r' ? ' ' : byte;
  }
  return quoted + '"';
}

class CsvSink final : public MetricSink {
 public:
  explicit CsvSink(LineWriter writer) : writer_(std::move(writer)) {}

  Status write(const MetricRecord& record) override {
    if (!record.is_series) return writer_.status();
    for (const auto& [name, value] : record.fields.items()) {
      if (!value.is_number() || name == "step") continue;
      const std::string number =
          value.is_number_float() ? fmt::format("{}", value.get<double>()) : dump_json(value, 0);
      COLLIE_TRY_VOID(
          writer_.append_line(fmt::format("{},{:.3f},{},{},{}", record.step, record.time_s,
                                          csv_text(record.event), csv_text(name), number)));
    }
    return ok_status();
  }
  Status sync() override { return writer_.sync(); }

 private:
  LineWriter writer_;
};

std::optional<std::int64_t> step_of(std::string_view line) {
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), step);
  if (error != std::errc() || end == line.data() + line.size() || *end != ',') return std::nullopt;
  return step;
}

// How much of a file of ours stays when a session goes on from first_step.
Result<std::size_t> kept_bytes(std::string_view text, const std::string& path,
                               std::int64_t first_step) {
  std::size_t kept = 0;
  for (std::int64_t number = 1; kept < text.size(); ++number) {
    const std::size_t newline = text.find('\n', kept);
    if (newline == std::string_view::npos) break;  // unfinished
    const std::string_view line = text.substr(kept, newline - kept);
    if (number == 1 && line != csv_header) {
      return make_error(ErrorCode::invalid_file,
                        "{}: its first line is not \"{}\"; move the file away", path, csv_header);
    }
    const std::optional<std::int64_t> step = number == 1 ? 0 : step_of(line);
    if (!step) {
      return make_error(ErrorCode::invalid_file,
                        "{}:{}: does not begin with a step; the file is damaged: move it away",
                        path, number);
    }
    if (*step >= first_step) break;
    kept = newline + 1;
  }
  return kept;
}

Status cut_csv(const std::string& path, std::int64_t first_step) {
  if (!exists(path)) return ok_status();
  COLLIE_TRY(const auto file, MappedFile::open(path));
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()),
                              file->bytes().size());
  COLLIE_TRY(const std::size_t kept, kept_bytes(text, path, first_step));
  if (kept == text.size()) return ok_status();
  return write_file_atomic(path, file->bytes().first(kept));
}

}  // namespace

Result<std::unique_ptr<MetricSink>> open_json_lines_sink(const std::string& path) {
  COLLIE_TRY(LineWriter writer, LineWriter::open(path, LineMode::append));
  return std::unique_ptr<MetricSink>(std::make_unique<JsonLinesSink>(std::move(writer)));
}

Result<std::unique_ptr<MetricSink>> open_csv_sink(const std::string& path,
                                                  std::int64_t first_step) {
  COLLIE_TRY_VOID(cut_csv(path, first_step));
  COLLIE_TRY(LineWriter writer, LineWriter::open(path, LineMode::append));
  COLLIE_TRY(const std::uint64_t size_bytes, file_size_bytes(path));
  if (size_bytes == 0) COLLIE_TRY_VOID(writer.append_line(csv_header));
  return std::unique_ptr<MetricSink>(std::make_unique<CsvSink>(std::move(writer)));
}

}  // namespace collie
