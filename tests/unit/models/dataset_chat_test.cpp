#define BOOST_TEST_MODULE dataset_chat
#include "tests/unit/models/dataset_fixture.hpp"

namespace collie {
namespace {

class ChatEncoder : public ByteEncoder {
 public:
  explicit ChatEncoder(std::string_view source)
      : template_(ChatTemplate::parse(source, "t", Json{{"eos_token", "$"}}).value()) {
    begin = begin_token;  // the template writes its own
  }
  const ChatTemplate* chat_template() const override { return &template_; }

 private:
  ChatTemplate template_;
};

constexpr std::string_view chat =
    R"({"messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "bc"},
        {"role": "user", "content": "D"}, {"role": "assistant", "content": "e"}]})";

struct ChatFixture : Fixture {
  ChatFixture() {
    data.sequence_length = 40;
    train_on("a.json", fmt::format("[{}]", chat));
  }
  // The text of the first row and, with '-' for what is not learned, its labels.
  std::pair<std::string, std::string> row(std::string_view source) {
    const ChatEncoder chat_encoder(source);
    const auto splits = open_training_data(data, chat_encoder, options);
    if (!splits.ok()) return {splits.error().message, ""};
    const MicroBatch first = batch(splits->train);
    std::string ids = shown(first.ids_t);
    std::string labels = shown(first.labels_t);
    ids.erase(ids.find_last_not_of('.') + 1);
    labels.erase(std::min(labels.size(), ids.size()));
    return {ids, labels};
  }
};

BOOST_FIXTURE_TEST_CASE(generation_blocks_say_what_is_learned, ChatFixture) {
  const auto [ids, labels] =
      row("{% for m in messages %}<{{ m.role[0] }}>{% if m.role == 'assistant' %}"
          "{% generation %}{{ m.content }}!{% endgeneration %}{% else %}{{ m.content }}{% endif %};"
          "{% endfor %}");
  BOOST_TEST(ids == "<u>A;<a>bc!;<u>D;<a>e!");
  BOOST_TEST(labels == "-------bc!---------e!-");
}

BOOST_FIXTURE_TEST_CASE(without_blocks_turns_are_found_by_prefixes, ChatFixture) {
  const auto [ids, labels] =
      row("{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}{{ eos_token }}\n{% endfor %}"
          "{% if add_generation_prompt %}<a>{% endif %}");
  BOOST_TEST(ids == "<u>A$\n<a>bc$\n<u>D$\n<a>e$");
  BOOST_TEST(labels == "--------bc$----------e$-");
}

// Qwen3 shows reasoning of the last turn only, and an empty one where there is none.
BOOST_FIXTURE_TEST_CASE(a_turn_that_later_messages_rewrite_ends_at_its_end_token, ChatFixture) {
  const auto [ids, labels] =
      row("{% for m in messages %}<{{ m.role[0] }}>{% if m.role == 'assistant' and loop.last %}[]"
          "{% endif %}{{ m.content }}{{ eos_token }}{% endfor %}"
          "{% if add_generation_prompt %}<a>{% endif %}");
  BOOST_TEST(ids == "<u>A$<a>bc$<u>D$<a>[]e");
  BOOST_TEST(labels == "-------bc$--------[]e$");
}

BOOST_FIXTURE_TEST_CASE(templates_that_cannot_tell_are_refused, ChatFixture) {
  const auto expect = [&](std::string_view source, std::string_view part) {
    BOOST_TEST(says(row(source).first, part));
  };
  expect("{{ messages|length }}{% for m in messages %}{{ m.content }}{% endfor %}",
         "set data.chat_template to \"plain\"");
  expect("{{ raise_exception('no\nway') }}", "record 1: t:1: the template refuses these messages");
  expect("{% generation %}{% endgeneration %}x", "nothing to learn");
}

BOOST_FIXTURE_TEST_CASE(plain_takes_no_template, ChatFixture) {
  data.chat_template = "plain";
  data.sequence_length = 100;
  BOOST_TEST(row("{% for m in messages %}{% endfor %}").first.find("### User:\nA") !=
             std::string::npos);
}

}  // namespace
}  // namespace collie
