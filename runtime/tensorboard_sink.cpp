#include <unistd.h>

#include <atomic>
#include <optional>

#include "runtime/file.hpp"
#include "runtime/monitor_sink.hpp"
#include "runtime/tensorboard.hpp"

namespace collie {

namespace {

// Readers take the files of a directory in the order of their names, so these begin with the time.
// A file is closed by sync(); what comes later begins the next.
class TensorboardSink final : public MetricSink {
 public:
  TensorboardSink(std::string directory, std::int64_t first_step)
      : directory_(std::move(directory)), first_step_(first_step) {}

  Status write(const MetricRecord& record) override {
    if (failure_) return *failure_;
    const Status written = append(record);
    if (!written.ok()) failure_ = written.error();
    return written;
  }

  Status sync() override {
    if (failure_) return *failure_;
    if (!file_) return ok_status();
    const Status closed = file_->close();
    file_.reset();
    if (!closed.ok()) failure_ = closed.error();
    return closed;
  }

 private:
  Status append(const MetricRecord& record) {
    std::string event;
    if (record.is_series) {
      const std::vector<tensorboard::Scalar> scalars = scalars_of(record);
      if (scalars.empty()) return ok_status();
      event = tensorboard::scalars_event(record.time_s, record.step, scalars);
    } else {
      const std::string text = "```\n" + dump_json(record.fields, 2) + "\n```";
      event = tensorboard::text_event(record.time_s, record.step,
                                      fmt::format("run/{}", record.event), text);
    }
    if (!file_) COLLIE_TRY_VOID(begin_file(record.time_s));
    return file_->append(tensorboard::framed_record(event));
  }

  static std::vector<tensorboard::Scalar> scalars_of(const MetricRecord& record) {
    const std::string_view group = record.event == "step" ? "train" : record.event;
    std::vector<tensorboard::Scalar> scalars;
    for (const auto& [name, value] : record.fields.items()) {
      if (!value.is_number() || name == "step") continue;
      scalars.push_back({fmt::format("{}/{}", group, name), value.get<double>()});
    }
    return scalars;
  }

  Status begin_file(double time_s) {
    static std::atomic<int> counter{0};
    const std::string name =
        fmt::format("events.out.tfevents.{:010}.collie.{}.{}", static_cast<std::int64_t>(time_s),
                    getpid(), counter.fetch_add(1));
    COLLIE_TRY(file_, OutputFile::create(join_path(directory_, name)));
    COLLIE_TRY_VOID(file_->append(tensorboard::framed_record(tensorboard::version_event(time_s))));
    if (!begins_session_) return ok_status();
    begins_session_ = false;
    return file_->append(
        tensorboard::framed_record(tensorboard::session_start_event(time_s, first_step_)));
  }

  std::string directory_;
  std::int64_t first_step_;
  bool begins_session_ = true;
  std::optional<OutputFile> file_;
  std::optional<Error> failure_;
};

}  // namespace

Result<std::unique_ptr<MetricSink>> open_tensorboard_sink(const std::string& directory,
                                                          std::int64_t first_step) {
  const std::string own = join_path(directory, "tensorboard");
  COLLIE_TRY_VOID(make_directories(own));
  return std::unique_ptr<MetricSink>(std::make_unique<TensorboardSink>(own, first_step));
}

}  // namespace collie
