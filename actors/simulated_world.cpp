#include <deque>
#include <map>
#include <random>

#include "actors/world.hpp"

namespace collie {

namespace {

// Where an address stands in the world's tables: trainer, feeder, then the ranks.
constexpr int trainer_index = 0;
constexpr int feeder_index = 1;
constexpr int first_rank_index = 2;

class SimulatedWorld : public World {
 public:
  SimulatedWorld(WorldOptions options, Executors executors, SimulationOptions simulation)
      : options_(std::move(options)),
        executors_(std::move(executors)),
        simulation_(simulation),
        random_(simulation.seed),
        trainer_(options_.run, 0, options_.grid, options_.post_validates),
        feeder_(options_.run, 0, options_.grid, options_.batches, group_of(options_.schedule),
                options_.schedule.slices),
        hosts_(hosts_of_shards(options_.grid, options_.schedule)) {
    check_executors(options_, executors_);
    for (RankCoreConfig& config : rank_core_configs(options_, executors_)) {
      ranks_.emplace_back(std::move(config));
    }
    works_.resize(ranks_.size());
  }

  Result<RoundOutcome> round(const RoundRequest& request,
                             const std::optional<RoundRequest>& next) override {
    if (broken_) return *broken_;
    Commands commands;
    trainer_.begin(request, commands, next);
    perform(trainer_index, std::move(commands));
    while (true) {
      if (auto outcome = trainer_.take_outcome()) {
        if (!*outcome && outcome->error().code != ErrorCode::non_finite) broken_ = outcome->error();
        return std::move(*outcome);
      }
      if (!step_once()) broken_ = stuck();
      if (broken_) return *broken_;
    }
  }

 private:
  int index_of_address(const Address& address) const {
    if (address.role == Role::trainer) return trainer_index;
    if (address.role == Role::feeder) return feeder_index;
    const int shard = index_of(options_.grid, address.shard);
    return first_rank_index + static_cast<int>(hosts_[static_cast<std::size_t>(shard)]);
  }

  void perform(int from, Commands commands) {
    for (Command& command : commands) {
      if (auto* work = std::get_if<Work>(&command)) {
        works_[static_cast<std::size_t>(from - first_rank_index)].push_back(std::move(*work));
        continue;
      }
      Send& send = std::get<Send>(command);
      auto& channel = channels_[{from, index_of_address(send.to)}];
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
    Commands commands;
    if (pair.second == trainer_index) {
      trainer_.receive(std::move(sent.message), commands);
    } else if (pair.second == feeder_index) {
      feeder_.receive(sent.message, commands);
    } else {
      ranks_[static_cast<std::size_t>(pair.second - first_rank_index)].receive(
          sent.to.shard, std::move(sent.message), commands);
    }
    perform(pair.second, std::move(commands));
  }

  void finish_work(std::size_t rank) {
    Work work = std::move(works_[rank].front());
    works_[rank].pop_front();
    Commands commands;
    const int shard = index_of(options_.grid, work.shard);
    executors_[static_cast<std::size_t>(shard)]->execute(
        std::move(work),
        [&](Completion completion) { ranks_[rank].completed(std::move(completion), commands); });
    perform(first_rank_index + static_cast<int>(rank), std::move(commands));
  }

  Error stuck() const {
    std::string who;
    for (const RankCore& rank : ranks_) who += fmt::format("; {}", rank.describe());
    return make_error(ErrorCode::lost, "nothing can happen any more: {}{}", trainer_.describe(),
                      who);
  }

  WorldOptions options_;
  Executors executors_;
  SimulationOptions simulation_;
  std::mt19937_64 random_;
  TrainerCore trainer_;
  FeederCore feeder_;
  std::vector<std::size_t> hosts_;  // of each shard: its rank
  std::vector<RankCore> ranks_;
  std::vector<std::deque<Work>> works_;
  std::map<std::pair<int, int>, std::deque<Send>> channels_;
  std::optional<Error> broken_;
};

}  // namespace

std::unique_ptr<World> make_simulated_world(WorldOptions options, Executors executors,
                                            SimulationOptions simulation) {
  return std::make_unique<SimulatedWorld>(std::move(options), std::move(executors), simulation);
}

}  // namespace collie
