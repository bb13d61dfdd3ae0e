#include "models/dataset/tokenize.hpp"

#include "models/dataset/chat_spans.hpp"
#include "models/dataset/reader.hpp"
#include "models/dataset/token_shards.hpp"
#include "runtime/file.hpp"
#include "runtime/thread_pool.hpp"

namespace collie {
namespace {

struct WaitingRecord {
  Record record;
  std::string where;
  bool whole_file = false;
};

// Records wait until there are enough of them to encode side by side; they are written in order.
class BatchEncoder {
 public:
  BatchEncoder(const TextEncoder& encoder, const TokenizeOptions& options, TokenWriter& writer)
      : encoder_(encoder), options_(options), writer_(writer), pool_(options.threads, "tokenize") {}

  Status add(Record record, std::string_view where, bool whole_file) {
    has_chats_ = has_chats_ || record.shape == RecordShape::chat;
    COLLIE_TRY(record, render_chat(std::move(record), encoder_.chat_template(), where));
    for (const TextSpan& span : record.spans) {
      waiting_bytes_ += static_cast<std::int64_t>(span.text.size());
    }
    waiting_.push_back({std::move(record), std::string(where), whole_file});
    // Also a bound on the number of records: each costs more than its text.
    const auto count = static_cast<std::int64_t>(waiting_.size());
    return waiting_bytes_ + 64 * count >= options_.batch_bytes ? flush() : ok_status();
  }

  Status flush() {
    encoded_.resize(waiting_.size());
    pool_.run(static_cast<std::int64_t>(waiting_.size()), [&](std::int64_t index, int) {
      const auto place = static_cast<std::size_t>(index);
      encoded_[place] = encode_record(waiting_[place].record, encoder_);
    });
    for (std::size_t place = 0; place < waiting_.size(); ++place) {
      COLLIE_TRY_VOID(
          check_ids(encoded_[place].ids, options_.vocabulary_size, waiting_[place].where));
      COLLIE_TRY_VOID(writer_.add(encoded_[place], waiting_[place].whole_file));
    }
    waiting_.clear();
    encoded_.clear();
    waiting_bytes_ = 0;
    return ok_status();
  }

  bool has_chats() const { return has_chats_; }

 private:
  bool has_chats_ = false;
  const TextEncoder& encoder_;
  const TokenizeOptions& options_;
  TokenWriter& writer_;
  ThreadPool pool_;
  std::vector<WaitingRecord> waiting_;
  std::vector<EncodedRecord> encoded_;
  std::int64_t waiting_bytes_ = 0;
};

}  // namespace

Result<TokenManifest> tokenize_files(const std::vector<std::string>& files, const DataSection& data,
                                     const TextEncoder& encoder, const std::string& directory,
                                     const TokenizeOptions& options) {
  for (const std::string& file : files) {
    if (!is_directory(file)) continue;
    return make_error(ErrorCode::invalid_data, "{}: is a directory; name files of text or records",
                      file);
  }
  COLLIE_TRY(TokenWriter writer,
             TokenWriter::create(directory, encoder.fingerprint(), options.vocabulary_size,
                                 options.shard_tokens));
  BatchEncoder batch(encoder, options, writer);
  COLLIE_TRY_VOID(read_file_records(files, data, data.max_records,
                                    [&](Record record, std::string_view where, bool whole_file) {
                                      return batch.add(std::move(record), where, whole_file);
                                    }));
  COLLIE_TRY_VOID(batch.flush());
  writer.describe(encoder, batch.has_chats());
  if (options.finish) COLLIE_TRY_VOID(options.finish(writer.temporary_path()));
  return writer.commit();
}

}  // namespace collie
