#include "actors/shells.hpp"

namespace collie {

namespace {

template <class Self>
void send_message(Self* self, const Directory& directory, Send&& send) {
  self->send(actor_at(directory, send.to),
             Envelope{send.to.shard, std::make_shared<Message>(std::move(send.message))});
}

// The completion comes on the stream's thread, so all it does is post a note.
void start_work(ModelExecutor& executor, const caf::actor_addr& owner, Work work) {
  executor.execute(std::move(work), [owner](Completion completion) {
    if (const auto actor = caf::actor_cast<caf::actor>(owner)) {
      caf::anon_send(actor, StreamNote{std::make_shared<Completion>(std::move(completion))});
    }
  });
}

void perform(caf::stateful_actor<RankState>* self, Commands commands) {
  RankState& state = self->state;
  for (Command& command : commands) {
    if (auto* work = std::get_if<Work>(&command)) {
      ModelExecutor& executor = *state.executors.at(work->shard);
      start_work(executor, self->address(), std::move(*work));
    } else {
      send_message(self, *state.directory, std::move(std::get<Send>(command)));
    }
  }
}

}  // namespace

const caf::actor& actor_at(const Directory& directory, const Address& address) {
  switch (address.role) {
    case Role::trainer:
      return directory.trainer;
    case Role::feeder:
      return directory.feeder;
    case Role::shard:
      break;
  }
  const auto shard = static_cast<std::size_t>(index_of(directory.grid, address.shard));
  return directory.ranks[directory.hosts[shard]];
}

caf::behavior rank_actor(caf::stateful_actor<RankState>* self,
                         const std::shared_ptr<const RankCoreConfig>& config,
                         const std::map<ShardId, ModelExecutor*>& executors) {
  self->state.core = std::make_unique<RankCore>(*config);
  self->state.executors = executors;
  return {
      [self](Introduction& introduction) {
        self->state.directory = std::move(introduction.directory);
      },
      [self](Envelope& envelope) {
        Commands commands;
        self->state.core->receive(envelope.to, std::move(*envelope.message), commands);
        perform(self, std::move(commands));
      },
      [self](StreamNote& note) {
        Commands commands;
        self->state.core->completed(std::move(*note.completion), commands);
        perform(self, std::move(commands));
      },
      [self](describe_atom) { return self->state.core->describe(); },
  };
}

caf::behavior feeder_actor(caf::stateful_actor<FeederState>* self,
                           std::shared_ptr<FeederCore> core) {
  self->state.core = std::move(core);
  return {
      [self](Introduction& introduction) {
        self->state.directory = std::move(introduction.directory);
      },
      [self](Envelope& envelope) {
        Commands commands;
        self->state.core->receive(*envelope.message, commands);
        for (Command& command : commands) {
          send_message(self, *self->state.directory, std::move(std::get<Send>(command)));
        }
      },
  };
}

}  // namespace collie
