#include <chrono>

#include "actors/shells.hpp"
#include "actors/world.hpp"

namespace collie {

namespace {

caf::actor_system_config& configure(caf::actor_system_config& config, int scheduler_threads) {
  config.add_message_types<caf::id_block::collie>();
  // Sharing, not stealing: a wake-up never waits behind another actor's work.
  config.set("scheduler.policy", caf::atom("sharing"));
  config.set("scheduler.max-threads", static_cast<std::size_t>(scheduler_threads));
  config.set("logger.verbosity", caf::atom("quiet"));
  return config;
}

// The trainer is a blocking actor on the caller's thread: a run is a loop that a person can read.
class LocalWorld : public World {
 public:
  LocalWorld(WorldOptions options, const Executors& executors, int scheduler_threads)
      : options_(std::move(options)),
        system_(configure(config_, scheduler_threads)),
        trainer_(options_.run, 0, options_.grid, options_.post_validates),
        self_(system_) {
    check_executors(options_, executors);
    auto directory = std::make_shared<Directory>();
    directory->grid = options_.grid;
    directory->trainer = self_;
    auto feeder =
        std::make_shared<FeederCore>(options_.run, 0, options_.grid, options_.batches,
                                     group_of(options_.schedule), options_.schedule.slices);
    directory->feeder = system_.spawn(feeder_actor, feeder);
    directory->hosts = hosts_of_shards(options_.grid, options_.schedule);
    for (RankCoreConfig& config : rank_core_configs(options_, executors)) {
      std::map<ShardId, ModelExecutor*> hosted;
      for (const HostedShard& shard : config.hosted) {
        hosted[shard.id] = executors[static_cast<std::size_t>(index_of(options_.grid, shard.id))];
      }
      names_.push_back(to_string(config.hosted.front().id));
      directory->ranks.push_back(system_.spawn(
          rank_actor, std::make_shared<const RankCoreConfig>(std::move(config)), hosted));
    }
    directory_ = directory;
    self_->monitor(directory_->feeder);
    self_->send(directory_->feeder, Introduction{directory_});
    for (const caf::actor& rank : directory_->ranks) {
      self_->monitor(rank);
      self_->send(rank, Introduction{directory_});
    }
  }

  ~LocalWorld() override {
    self_->demonitor(directory_->feeder.address());
    self_->send_exit(directory_->feeder, caf::exit_reason::user_shutdown);
    for (const caf::actor& rank : directory_->ranks) {
      self_->demonitor(rank.address());
      self_->send_exit(rank, caf::exit_reason::user_shutdown);
    }
    // The executors outlive this world only if no actor still uses them.
    for (const caf::actor& rank : directory_->ranks) self_->wait_for(rank);
    self_->wait_for(directory_->feeder);
  }

  Result<RoundOutcome> round(const RoundRequest& request,
                             const std::optional<RoundRequest>& next) override {
    if (broken_) return *broken_;
    Result<RoundOutcome> outcome = run_round(request, next);
    // After a refused update all actors are whole; after anything else some are in mid-round.
    if (!outcome && outcome.error().code != ErrorCode::non_finite) broken_ = outcome.error();
    return outcome;
  }

 private:
  Result<RoundOutcome> run_round(const RoundRequest& request,
                                 const std::optional<RoundRequest>& next) {
    Commands commands;
    trainer_.begin(request, commands, next);
    send_all(std::move(commands));
    while (true) {
      if (auto outcome = trainer_.take_outcome()) return std::move(*outcome);
      if (Status status = receive_one(); !status) return std::move(status).error();
    }
  }

  void send_all(Commands commands) {
    for (Command& command : commands) {
      Send& send = std::get<Send>(command);
      self_->send(actor_at(*directory_, send.to),
                  Envelope{send.to.shard, std::make_shared<Message>(std::move(send.message))});
    }
  }

  Status receive_one() {
    Status status = ok_status();
    self_->receive(
        [&](Envelope& envelope) {
          Commands commands;
          trainer_.receive(std::move(*envelope.message), commands);
          send_all(std::move(commands));
        },
        [&](const caf::down_msg& down) {
          status = make_error(ErrorCode::lost, "{} died: {}", name_of(down.source),
                              system_.render(down.reason));
        },
        caf::after(std::chrono::seconds(limits::progress_deadline_s)) >>
            [&] {
              // A long step is not a stuck one: every work that completes changes the description.
              const std::string now = describe_shards();
              if (now == std::exchange(last_description_, now)) {
                status = make_error(ErrorCode::lost, "no progress for {} s: {}{}",
                                    limits::progress_deadline_s, trainer_.describe(), now);
              }
            });
    return status;
  }

  std::string name_of(const caf::actor_addr& address) const {
    for (std::size_t i = 0; i < directory_->ranks.size(); ++i) {
      if (directory_->ranks[i] == address) return names_[i];
    }
    return "the feeder";
  }

  std::string describe_shards() {
    std::string text;
    for (const caf::actor& rank : directory_->ranks) {
      self_->request(rank, std::chrono::seconds(1), describe_atom_v)
          .receive([&](const std::string& line) { text += "; " + line; },
                   [&](const caf::error&) { text += "; a rank does not answer"; });
    }
    return text;
  }

  WorldOptions options_;
  caf::actor_system_config config_;
  caf::actor_system system_;
  TrainerCore trainer_;
  caf::scoped_actor self_;
  std::shared_ptr<const Directory> directory_;
  std::vector<std::string> names_;  // of the ranks, for errors
  std::string last_description_;
  std::optional<Error> broken_;
};

}  // namespace

std::unique_ptr<World> make_local_world(WorldOptions options, const Executors& executors,
                                        int scheduler_threads) {
  return std::make_unique<LocalWorld>(std::move(options), executors, scheduler_threads);
}

}  // namespace collie
