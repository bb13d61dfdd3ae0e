// What corrects for delay is a part of a run's state.
#define BOOST_TEST_MODULE delay_resume
#include <boost/test/unit_test.hpp>

#include "tests/unit/actors/tiny_trainer.hpp"

namespace collie::testing {
namespace {

struct Case {
  const char* schedule;
  const char* optimizer;
};

BOOST_AUTO_TEST_CASE(corrected_runs_resume_to_the_same_bits) {
  for (const Case& each : {Case{"pipemare", "adamw"}, Case{"nesterov", "sgd"},
                           Case{"pipeoptim", "sgd"}, Case{"spectrain", "adamw"}}) {
    BOOST_TEST_CONTEXT(each.schedule) {
      const std::vector<std::string> overrides = {
          std::string("grid.schedule=") + each.schedule, "grid.pp=2",
          "model.fresh.tie_word_embeddings=false",
          std::string("train.optimizer.name=") + each.optimizer};
      TinyTrainer trainer;
      const auto whole = trainer.train("whole", overrides);
      BOOST_REQUIRE_MESSAGE(whole.ok(), test::message_of(whole));
      const auto stopped = trainer.train("stopped", overrides, 5);
      BOOST_REQUIRE_MESSAGE(stopped.ok(), test::message_of(stopped));
      BOOST_CHECK_EQUAL(stopped->steps_done, 5);
      const auto resumed = trainer.train("stopped", overrides);
      BOOST_REQUIRE_MESSAGE(resumed.ok(), test::message_of(resumed));
      BOOST_CHECK_EQUAL(resumed->steps_done, tiny_steps);
      BOOST_CHECK_EQUAL(resumed->parameter_hash, whole->parameter_hash);
    }
  }
}

BOOST_AUTO_TEST_CASE(nesterovs_correction_is_an_update_of_sgd) {
  TinyTrainer trainer;
  const auto result = trainer.train(
      "run", {"grid.schedule=nesterov", "grid.pp=2", "model.fresh.tie_word_embeddings=false"});
  BOOST_REQUIRE(!result.ok());
  BOOST_CHECK(result.error().message.find("set it to sgd") != std::string::npos);
}

}  // namespace
}  // namespace collie::testing
