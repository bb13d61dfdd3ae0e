#include "models/dataset/reader.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "runtime/file.hpp"
#include "runtime/limits.hpp"

namespace collie {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr std::string_view json_space = " \t\r\n";

// Hands the records of one file on, as long as they have one shape and the visitor wants more.
class FileVisit {
 public:
  FileVisit(const std::string& file, const DataSection& data, const RecordVisitor& visitor,
            std::int64_t& record_count)
      : file_(file), data_(data), visitor_(visitor), record_count_(record_count) {}

  bool done() const { return done_; }

  Status visit(Record record, std::string_view where) {
    if (!shape_) shape_ = record.shape;
    if (record.shape != *shape_) {
      return make_error(ErrorCode::invalid_data,
                        "{}: a record of {} among records of {}; put them into separate files",
                        where, to_string(record.shape), to_string(*shape_));
    }
    COLLIE_TRY(const bool more, visitor_(std::move(record), where));
    ++record_count_;
    done_ = !more || (data_.max_records > 0 && record_count_ >= data_.max_records);
    return ok_status();
  }

  Status visit(simdjson::dom::element element, std::string_view where) {
    COLLIE_TRY(Record record, parse_record(element, data_, where));
    return visit(std::move(record), where);
  }

  const std::string& file() const { return file_; }
  const DataSection& data() const { return data_; }

 private:
  const std::string& file_;
  const DataSection& data_;
  const RecordVisitor& visitor_;
  std::int64_t& record_count_;
  std::optional<RecordShape> shape_;
  bool done_ = false;
};

// The same for values that are not looked at here.
class JsonVisit {
 public:
  JsonVisit(const std::string& file, const DataSection& data, const JsonRecordVisitor& visitor,
            std::int64_t& record_count)
      : file_(file), data_(data), visitor_(visitor), record_count_(record_count) {}

  bool done() const { return data_.max_records > 0 && record_count_ >= data_.max_records; }
  Status visit(simdjson::dom::element element, std::string_view where) {
    ++record_count_;
    return visitor_(element, where);
  }
  const std::string& file() const { return file_; }
  const DataSection& data() const { return data_; }

 private:
  const std::string& file_;
  const DataSection& data_;
  const JsonRecordVisitor& visitor_;
  std::int64_t& record_count_;
};

template <class Visit>
Status visit_lines(std::string_view content, Visit& visit) {
  simdjson::dom::parser parser(limits::record_bytes_max);
  std::int64_t line_number = 0;
  while (!content.empty() && !visit.done()) {
    ++line_number;
    const std::size_t line_end = content.find('\n');
    const std::string_view line = content.substr(0, line_end);
    content.remove_prefix(line_end == content.npos ? content.size() : line_end + 1);
    if (line.find_first_not_of(json_space) == line.npos) continue;
    const std::string where = fmt::format("{}:{}", visit.file(), line_number);
    simdjson::dom::element element;
    const auto error = parser.parse(line.data(), line.size()).get(element);
    if (error == simdjson::CAPACITY) {
      return make_error(ErrorCode::invalid_data, "{}: a line of {} bytes, at most {}", where,
                        line.size(), limits::record_bytes_max);
    }
    if (error != simdjson::SUCCESS) {
      return make_error(ErrorCode::invalid_data, "{}: not valid JSON: {}", where,
                        simdjson::error_message(error));
    }
    COLLIE_TRY_VOID(visit.visit(element, where));
  }
  return ok_status();
}

template <class Visit>
Status visit_array(std::string_view content, Visit& visit) {
  simdjson::dom::parser parser(limits::json_bytes_max);
  simdjson::dom::element document;
  const auto error = parser.parse(content.data(), content.size()).get(document);
  if (error == simdjson::CAPACITY) {
    return make_error(ErrorCode::invalid_data,
                      "{}: a JSON file of {} bytes, at most {}; write it as JSON lines (.jsonl)",
                      visit.file(), content.size(), limits::json_bytes_max);
  }
  if (error != simdjson::SUCCESS) {
    return make_error(ErrorCode::invalid_data, "{}: not valid JSON: {}", visit.file(),
                      simdjson::error_message(error));
  }
  simdjson::dom::array records;
  if (document.get(records) != simdjson::SUCCESS) {
    return make_error(ErrorCode::invalid_data, "{}: must be a list of records", visit.file());
  }
  std::int64_t number = 0;
  for (const simdjson::dom::element element : records) {
    const std::string where = fmt::format("{}: record {}", visit.file(), ++number);
    COLLIE_TRY_VOID(visit.visit(element, where));
    if (visit.done()) break;
  }
  return ok_status();
}

Status visit_text(std::string_view content, FileVisit& visit) {
  if (!simdjson::validate_utf8(content.data(), content.size())) {
    return make_error(ErrorCode::invalid_data,
                      "{}: not valid UTF-8; convert it, or set data.format", visit.file());
  }
  const std::string& separator = visit.data().document_separator;
  while (!content.empty() && !visit.done()) {
    const std::size_t end = separator.empty() ? content.npos : content.find(separator);
    const std::string_view part = content.substr(0, end);
    content.remove_prefix(end == content.npos ? content.size() : end + separator.size());
    if (part.size() > limits::text_document_bytes_max) {
      return make_error(ErrorCode::invalid_data,
                        "{}: a document of {} bytes, at most {}; set data.document_separator",
                        visit.file(), part.size(), limits::text_document_bytes_max);
    }
    COLLIE_TRY_VOID(
        visit.visit(Record{RecordShape::text, {{std::string(part), true, true}}, nullptr, false},
                    visit.file()));
  }
  return ok_status();
}

DataFormat format_of(const std::string& file, const DataSection& data) {
  if (data.format != DataFormat::automatic) return data.format;
  const std::string extension = std::filesystem::path(file).extension().string();
  if (extension == ".jsonl" || extension == ".ndjson") return DataFormat::jsonl;
  return extension == ".json" ? DataFormat::json : DataFormat::text;
}

Status visit_text(std::string_view, JsonVisit& visit) {
  return make_error(ErrorCode::invalid_data,
                    "{}: needs records; name a .json or .jsonl file, or set data.format",
                    visit.file());
}

template <class Visit>
Status visit_file(std::string_view content, Visit& visit) {
  if (content.starts_with(byte_order_mark)) content.remove_prefix(byte_order_mark.size());
  const DataFormat format = format_of(visit.file(), visit.data());
  if (format == DataFormat::text) return visit_text(content, visit);
  const std::size_t first = content.find_first_not_of(json_space);
  const bool lines_in_json = visit.data().format == DataFormat::automatic &&
                             first != content.npos && content[first] == '{';
  if (format == DataFormat::jsonl || lines_in_json) return visit_lines(content, visit);
  return visit_array(content, visit);
}

}  // namespace

namespace {

template <class Visit, class Visitor>
Status visit_files(const std::vector<std::string>& files, const DataSection& data,
                   const Visitor& visitor) {
  std::int64_t record_count = 0;
  for (const std::string& file : files) {
    COLLIE_TRY(const auto mapped, MappedFile::open(file));
    mapped->advise(Access::sequential);
    const std::span<const std::byte> bytes = mapped->bytes();
    Visit visit(file, data, visitor, record_count);
    COLLIE_TRY_VOID(visit_file({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, visit));
    if (visit.done()) break;
  }
  return ok_status();
}

}  // namespace

Status read_records(const std::vector<std::string>& files, const DataSection& data,
                    const RecordVisitor& visitor) {
  return visit_files<FileVisit>(files, data, visitor);
}

Status read_json_records(const std::vector<std::string>& files, const DataSection& data,
                         const JsonRecordVisitor& visitor) {
  return visit_files<JsonVisit>(files, data, visitor);
}

Result<std::string> sample_training_text(const DataSection& data, std::size_t max_bytes) {
  std::string sample;
  std::vector<std::string> files;
  for (const DataSource& source : data.train) {
    if (is_directory(source.path)) {
      return make_error(ErrorCode::invalid_config,
                        "data.train: {} holds tokens, so no tokenizer can learn from it; set "
                        "model.tokenizer to the one that made them",
                        source.path);
    }
    files.push_back(source.path);
  }
  COLLIE_TRY_VOID(read_records(files, data, [&](const Record& record, std::string_view) {
    for (const TextSpan& span : record.spans) {
      std::string_view text = span.text;
      if (sample.size() + text.size() > max_bytes) {
        // Not in the middle of a UTF-8 sequence.
        std::size_t end = max_bytes - std::min(max_bytes, sample.size());
        while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
        text = text.substr(0, end);
      }
      sample.append(text);
    }
    sample.push_back('\n');
    return Result<bool>(sample.size() < max_bytes);
  }));
  return sample;
}

Status read_file_records(const std::vector<std::string>& files, const DataSection& data,
                         std::int64_t max_records, const FileRecordVisitor& visitor) {
  DataSection remaining = data;
  std::int64_t record_count = 0;
  for (const std::string& file : files) {
    const bool whole_file = is_whole_text_file(file, data);
    remaining.max_records = max_records > 0 ? max_records - record_count : 0;
    if (max_records > 0 && remaining.max_records == 0) break;
    const RecordVisitor visit = [&](Record record, std::string_view where) -> Result<bool> {
      ++record_count;
      COLLIE_TRY_VOID(visitor(std::move(record), where, whole_file));
      return true;
    };
    COLLIE_TRY_VOID(read_records({file}, remaining, visit));
  }
  return ok_status();
}

bool is_whole_text_file(const std::string& file, const DataSection& data) {
  return data.document_separator.empty() && format_of(file, data) == DataFormat::text;
}

}  // namespace collie
