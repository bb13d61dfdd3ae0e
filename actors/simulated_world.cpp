#include <deque>
#include <map>
#include <random>

#include "actors/core_cast.hpp"

namespace collie {

namespace {

class SimulatedWorld : public World {
 public:
  SimulatedWorld(WorldOptions options, Executors executors, SimulationOptions simulation)
      : cast_(std::move(options), std::move(executors)),
        simulation_(simulation),
        random_(simulation.seed),
        works_(cast_.rank_count()) {}

  Result<RoundOutcome> round(const RoundRequest& request,
                             const std::optional<RoundRequest>& next) override {
    return cast_.round(
        request, next, [this](int from, Commands commands) { perform(from, std::move(commands)); },
        [this] { return step_once(); });
  }

 private:
  void perform(int from, Commands commands) {
    for (Command& command : commands) {
      if (auto* work = std::get_if<Work>(&command)) {
        works_[static_cast<std::size_t>(from)].push_back(std::move(*work));
        continue;
      }
      Send& send = std::get<Send>(command);
      auto& channel = channels_[{from, cast_.place_of(send.to)}];
      if (draw() < simulation_.duplicate_probability) channel.push_back(send);
      channel.push_back(std::move(send));
    }
  }

  double draw() { return std::uniform_real_distribution<double>(0.0, 1.0)(random_); }
  std::size_t draw_below(std::size_t count) {
    return std::uniform_int_distribution<std::size_t>(0, count - 1)(random_);
  }

  // One event: a message arrives, or a stream finishes its oldest work. False: nothing can happen.
  bool step_once() {
    std::vector<std::pair<int, int>> ready;
    for (const auto& [pair, channel] : channels_) {
      if (!channel.empty()) ready.push_back(pair);
    }
    std::vector<std::size_t> busy;
    for (std::size_t i = 0; i < works_.size(); ++i) {
      if (!works_[i].empty()) busy.push_back(i);
    }
    if (ready.empty() && busy.empty()) return false;
    const std::size_t choice = draw_below(ready.size() + busy.size());
    if (choice < ready.size()) {
      deliver(ready[choice]);
    } else {
      finish_work(busy[choice - ready.size()]);
    }
    return true;
  }

  void deliver(const std::pair<int, int>& pair) {
    std::deque<Send>& channel = channels_[pair];
    const std::size_t position = simulation_.reorder ? draw_below(channel.size()) : 0;
    const auto chosen = channel.begin() + static_cast<std::ptrdiff_t>(position);
    Send sent = std::move(*chosen);
    channel.erase(chosen);
    perform(pair.second, cast_.deliver(pair.second, std::move(sent)));
  }

  void finish_work(std::size_t rank) {
    Work work = std::move(works_[rank].front());
    works_[rank].pop_front();
    perform(static_cast<int>(rank), cast_.execute(rank, std::move(work)));
  }

  CoreCast cast_;
  SimulationOptions simulation_;
  std::mt19937_64 random_;
  std::vector<std::deque<Work>> works_;
  std::map<std::pair<int, int>, std::deque<Send>> channels_;
};

}  // namespace

std::unique_ptr<World> make_simulated_world(WorldOptions options, Executors executors,
                                            SimulationOptions simulation) {
  return std::make_unique<SimulatedWorld>(std::move(options), std::move(executors), simulation);
}

}  // namespace collie
