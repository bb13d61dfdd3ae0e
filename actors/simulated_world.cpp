#include <deque>
#include <map>
#include <random>

#include "actors/world.hpp"

namespace collie {

namespace {

// Where an address stands in the world's tables: trainer, feeder, then the shards.
constexpr int trainer_index = 0;
constexpr int feeder_index = 1;
constexpr int first_shard_index = 2;

class SimulatedWorld : public World {
 public:
  SimulatedWorld(WorldOptions options, Executors executors, SimulationOptions simulation)
      : options_(std::move(options)),
        executors_(std::move(executors)),
        simulation_(simulation),
        random_(simulation.seed),
        trainer_(options_.run, 0, options_.grid),
        feeder_(options_.run, 0, options_.grid, options_.batches),
        works_(executors_.size()) {
    check_executors(options_, executors_);
    for (std::size_t i = 0; i < executors_.size(); ++i) {
      const ShardId self = shard_at(options_.grid, static_cast<int>(i));
      shards_.emplace_back(shard_core_config(options_, self, executors_[i]->exchanges()));
    }
  }

  Result<RoundOutcome> round(const RoundRequest& request) override {
    if (broken_) return *broken_;
    Commands commands;
    trainer_.begin(request, commands);
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
    return first_shard_index + index_of(options_.grid, address.shard);
  }

  void perform(int from, Commands commands) {
    for (Command& command : commands) {
      if (auto* work = std::get_if<Work>(&command)) {
        works_[static_cast<std::size_t>(from - first_shard_index)].push_back(std::move(*work));
        continue;
      }
      Send& send = std::get<Send>(command);
      auto& channel = channels_[{from, index_of_address(send.to)}];
      if (draw() < simulation_.duplicate_probability) channel.push_back(send.message);
      channel.push_back(std::move(send.message));
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
    std::deque<Message>& channel = channels_[pair];
    const std::size_t position = simulation_.reorder ? draw_below(channel.size()) : 0;
    const auto chosen = channel.begin() + static_cast<std::ptrdiff_t>(position);
    Message message = std::move(*chosen);
    channel.erase(chosen);
    Commands commands;
    if (pair.second == trainer_index) {
      trainer_.receive(std::move(message), commands);
    } else if (pair.second == feeder_index) {
      feeder_.receive(message, commands);
    } else {
      shards_[static_cast<std::size_t>(pair.second - first_shard_index)].receive(std::move(message),
                                                                                 commands);
    }
    perform(pair.second, std::move(commands));
  }

  void finish_work(std::size_t shard) {
    Work work = std::move(works_[shard].front());
    works_[shard].pop_front();
    Commands commands;
    executors_[shard]->execute(std::move(work), [&](Completion completion) {
      shards_[shard].completed(std::move(completion), commands);
    });
    perform(first_shard_index + static_cast<int>(shard), std::move(commands));
  }

  Error stuck() const {
    std::string who;
    for (const ShardCore& shard : shards_) {
      who += fmt::format("; {}", shard.describe());
    }
    return make_error(ErrorCode::lost, "nothing can happen any more: {}{}", trainer_.describe(),
                      who);
  }

  WorldOptions options_;
  Executors executors_;
  SimulationOptions simulation_;
  std::mt19937_64 random_;
  TrainerCore trainer_;
  FeederCore feeder_;
  std::vector<ShardCore> shards_;
  std::vector<std::deque<Work>> works_;
  std::map<std::pair<int, int>, std::deque<Message>> channels_;
  std::optional<Error> broken_;
};

}  // namespace

std::unique_ptr<World> make_simulated_world(WorldOptions options, Executors executors,
                                            SimulationOptions simulation) {
  return std::make_unique<SimulatedWorld>(std::move(options), std::move(executors), simulation);
}

}  // namespace collie
