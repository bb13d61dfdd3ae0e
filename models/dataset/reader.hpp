// Data files, record by record.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "models/dataset/record.hpp"

namespace collie {

// where is "file:line" in JSONL, "file: record n" in JSON arrays, the file's name in plain text.
// Reading goes on while the visitor returns true.
using RecordVisitor = std::function<Result<bool>(Record record, std::string_view where)>;

// Visits the records of the files in order. Format automatic: the extension (.jsonl, .ndjson,
// .json), other files are plain text; a .json file may also hold JSON lines. Plain text is one
// record a file, or one for each part between data.document_separator. A UTF-8 byte order mark is
// skipped, blank lines of JSONL too. Stops a file after data.max_records records in all files.
// Errors name the place: unreadable files, malformed JSON or UTF-8, records of different shapes in
// one file.
Status read_records(const std::vector<std::string>& files, const DataSection& data,
                    const RecordVisitor& visitor);

// The same for records of other shapes: each as the JSON value it is. Plain text files are refused.
using JsonRecordVisitor =
    std::function<Status(simdjson::dom::element value, std::string_view where)>;
Status read_json_records(const std::vector<std::string>& files, const DataSection& data,
                         const JsonRecordVisitor& visitor);

// The same file by file: whole_file says that the record is a plain text file cut by nothing.
using FileRecordVisitor =
    std::function<Status(Record record, std::string_view where, bool whole_file)>;
// Stops after max_records records (0: none) over all files; data.max_records does not count.
Status read_file_records(const std::vector<std::string>& files, const DataSection& data,
                         std::int64_t max_records, const FileRecordVisitor& visitor);

// The text of the first records of data.train, about max_bytes of it, to train a tokenizer on.
Result<std::string> sample_training_text(const DataSection& data, std::size_t max_bytes);

// Whether the files of this section are plain text cut by nothing, so one record each.
bool is_whole_text_file(const std::string& file, const DataSection& data);

}  // namespace collie
