// Hand-over of a tensor between two actors as the runtime does it: a message by reference in an
// envelope, under the scheduler's sharing policy. Prints one JSON line.
//   handover_bench [messages]      default: 200000 one way, a tenth of it there and back
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <future>
#include <string_view>
#include <vector>

#include "actors/caf_messages.hpp"
#include "runtime/json.hpp"

namespace collie::bench {
namespace {

constexpr std::int64_t tensor_floats = 1 << 18;  // 1 MiB
constexpr int window = 64;                       // messages on their way, one way

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

Envelope activation(const Tensor& tensor, std::uint32_t micro_batch) {
  Activation message;
  message.stamp.micro_batch = micro_batch;
  message.tensor_td = tensor;
  return {ShardId{}, std::make_shared<Message>(std::move(message))};
}

Envelope credit(const Envelope& received) {
  return {ShardId{},
          std::make_shared<Message>(Credit{stamp_of(*received.message), Link::activation})};
}

// Takes activations, looks at the tensor and gives credit for every `every`-th.
caf::behavior receiver(caf::event_based_actor* self, int every) {
  auto taken = std::make_shared<int>(0);
  return {[=](Envelope& envelope) {
    const auto& activation = std::get<Activation>(*envelope.message);
    COLLIE_CHECK(activation.tensor_td.data<float>()[0] == 1.0F, "another tensor has arrived");
    if (++*taken % every != 0) return;
    self->send(caf::actor_cast<caf::actor>(self->current_sender()), credit(envelope));
  }};
}

struct SenderState {
  std::uint32_t sent = 0;
  std::vector<double> seconds;
  Clock::time_point begin;
  Clock::time_point sent_at;
};

using Times = std::promise<std::vector<double>>;

// One message at a time; the promise gets the seconds of every round trip.
caf::behavior pinger(caf::stateful_actor<SenderState>* self, const caf::actor& peer, Tensor tensor,
                     std::uint32_t messages, std::shared_ptr<Times> times) {
  self->state.sent_at = Clock::now();
  self->send(peer, activation(tensor, self->state.sent++));
  return {[=](Envelope&) {
    SenderState& state = self->state;
    state.seconds.push_back(seconds_since(state.sent_at));
    if (state.sent == messages) {
      times->set_value(std::move(state.seconds));
      self->quit();
      return;
    }
    state.sent_at = Clock::now();
    self->send(peer, activation(tensor, state.sent++));
  }};
}

// Up to two windows under way; the promise gets the seconds of the whole.
caf::behavior streamer(caf::stateful_actor<SenderState>* self, const caf::actor& peer,
                       Tensor tensor, std::uint32_t messages, std::shared_ptr<Times> times) {
  const auto send_window = [=] {
    for (int i = 0; i < window; ++i) self->send(peer, activation(tensor, self->state.sent++));
  };
  self->state.begin = Clock::now();
  send_window();
  send_window();
  return {[=, confirmed = std::uint32_t{0}](Envelope&) mutable {
    confirmed += window;
    if (confirmed >= messages) {
      times->set_value({seconds_since(self->state.begin)});
      self->quit();
    } else if (self->state.sent < messages) {
      send_window();
    }
  }};
}

template <class Sender>
std::vector<double> measure(Sender sender, int every, std::uint32_t messages) {
  caf::actor_system_config config;
  config.add_message_types<caf::id_block::collie>();
  config.set("scheduler.policy", caf::atom("sharing"));
  config.set("scheduler.max-threads", std::size_t{2});
  config.set("logger.verbosity", caf::atom("quiet"));
  caf::actor_system system(config);
  Allocator memory("bench");
  Tensor tensor = allocate_tensor(memory, DType::f32, {tensor_floats});
  std::fill_n(tensor.mutable_data<float>(), tensor_floats, 1.0F);
  tensor.freeze();
  auto times = std::make_shared<Times>();
  auto done = times->get_future();
  const caf::actor peer = system.spawn(receiver, every);
  system.spawn(sender, peer, tensor, messages, times);
  std::vector<double> seconds = done.get();
  caf::anon_send_exit(peer, caf::exit_reason::user_shutdown);
  return seconds;
}

double quantile_us(const std::vector<double>& sorted, double share) {
  const auto last = static_cast<double>(sorted.size() - 1);
  return 1e6 * sorted[static_cast<std::size_t>(share * last)];
}

void run(std::uint32_t messages) {
  std::vector<double> trips = measure(pinger, 1, std::max(messages / 10, 100U));
  std::sort(trips.begin(), trips.end());
  const double whole = measure(streamer, window, messages).front();
  const Json line{{"peer", "collie"},
                  {"mode", "handover"},
                  {"bytes", tensor_floats * 4},
                  {"round_trip_us_p50", quantile_us(trips, 0.5)},
                  {"round_trip_us_p99", quantile_us(trips, 0.99)},
                  {"messages_per_s", messages / whole}};
  fmt::print("{}\n", line.dump());
}

}  // namespace
}  // namespace collie::bench

int main(int argc, char** argv) {
  std::uint32_t messages = 200'000;
  if (argc == 2) {
    const std::string_view text = argv[1];
    std::from_chars(text.data(), text.data() + text.size(), messages);
  }
  messages = std::max(messages, 2U * collie::bench::window) / collie::bench::window *
             collie::bench::window;
  collie::bench::run(messages);
}
