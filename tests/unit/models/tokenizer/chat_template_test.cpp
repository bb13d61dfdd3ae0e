#define BOOST_TEST_MODULE chat_template
#include "models/tokenizer/chat_template/chat_template.hpp"

#include <boost/test/unit_test.hpp>

namespace collie {
namespace {

std::string hash_of(std::string_view text) {
  std::uint64_t value = 0xCBF29CE484222325U;
  for (const char byte : text) {
    value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001B3U;
  }
  return fmt::format("{:016x}", value);
}

Json user_says(std::string_view text) {
  return Json::array({{{"role", "user"}, {"content", text}}});
}

std::string rendered(std::string_view source, const Json& messages = user_says("hi")) {
  const auto chat_template = ChatTemplate::parse(source, "t.jinja");
  if (!chat_template.ok()) return chat_template.error().message;
  const auto chat = chat_template->render(messages);
  return chat.ok() ? chat->text : chat.error().message;
}

void check_case(const ChatTemplate& chat_template, const Json& document, const Json& golden) {
  ChatOptions options;
  options.add_generation_prompt = golden.value("prompt", false);
  options.continue_final_message = golden.value("continue", false);
  options.variables = golden.value("variables", Json::object());
  if (golden.value("tools", false)) options.tools = document["tools"];
  options.now_s = document["now_s"].get<std::int64_t>();
  const auto& messages = document["conversations"][golden["conversation"].get<std::string>()];
  const auto chat = chat_template.render(messages, options);
  if (golden.value("refused", false)) {
    BOOST_TEST(!chat.ok());
    return;
  }
  BOOST_REQUIRE_MESSAGE(chat.ok(), (chat.ok() ? "" : chat.error().message));
  if (golden.contains("text")) BOOST_TEST(chat->text == golden["text"].get<std::string>());
  if (golden.contains("hash")) BOOST_TEST(hash_of(chat->text) == golden["hash"].get<std::string>());
  if (!golden.contains("generated")) return;
  Json spans = Json::array();
  for (const auto& span : chat->generated) spans.push_back({span.begin, span.end});
  BOOST_TEST(spans == golden["generated"]);
}

BOOST_AUTO_TEST_CASE(real_templates_render_what_transformers_renders) {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  const std::string path = COLLIE_TESTS_DIR "/goldens/chat_templates/cases.json";
  const auto document = read_json(path);
  BOOST_REQUIRE(document.ok());
  for (const auto& [name, source] : (*document)["templates"].items()) {
    const auto chat_template =
        ChatTemplate::parse(source.get<std::string>(), name, (*document)["tokens"]);
    BOOST_REQUIRE_MESSAGE(chat_template.ok(),
                          (chat_template.ok() ? "" : chat_template.error().message));
    for (const Json& golden : (*document)["cases"]) {
      if (golden["template"] != name) continue;
      BOOST_TEST_CONTEXT(name << " " << golden["conversation"]) {
        check_case(*chat_template, *document, golden);
      }
    }
  }
}

// What jinja2 3.1.6 gives with transformers' settings.
BOOST_AUTO_TEST_CASE(jinja2_semantics) {
  BOOST_TEST(rendered("a\n  {% if true %}\nb\n  {%- endif %}\n\nc\n") == "a\nb\nc");
  BOOST_TEST(rendered("{{ [1, 'a', none, 2.0, true] }}{{ {'k': (1,)} }}") ==
             "[1, 'a', None, 2.0, True]{'k': (1,)}");
  BOOST_TEST(rendered("{{ 7 // -2 }} {{ -7 % 3 }} {{ 4 / 2 }} {{ 2 ** 10 }} {{ 1e16 }}") ==
             "-4 2 2.0 1024 1e+16");
  BOOST_TEST(rendered("{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}") ==
             "1");
  BOOST_TEST(rendered("{% set n = namespace(x=1) %}{% for i in [1, 2] %}{% set n.x = i %}"
                      "{% endfor %}{{ n.x }}") == "2");
  BOOST_TEST(rendered("{% for i in range(9) if i is odd %}{% if i > 5 %}{% break %}{% endif %}"
                      "{{ i }}{{ ',' if not loop.last }}{% endfor %}") == "1,3,5,");
  BOOST_TEST(
      rendered("{% macro m(a, b='x') %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(b=2) }}") ==
      "1x2");
  BOOST_TEST(rendered("{{ 'äöü'[::-1] }}{{ 'äöü'|length }}{{ 'a-b'.split('-')[-1] }}") == "üöä3b");
  BOOST_TEST(rendered("{{ {'b': 'ä<', 'a': 1}|tojson(indent=1, sort_keys=true) }}") ==
             "{\n \"a\": 1,\n \"b\": \"ä<\"\n}");
  BOOST_TEST(rendered("{{ messages|selectattr('role', 'equalto', 'x')|first is defined }}"
                      "{{ true if messages|selectattr('role', 'eq', 'x') }}") == "FalseTrue");
  BOOST_TEST(rendered("{% raw %}{{ x }}{% endraw %}{# {{ #}{{ missing }}{{ 'a' ~ 1 }}") ==
             "{{ x }}a1");
}

BOOST_AUTO_TEST_CASE(errors_are_one_line_with_the_templates_line) {
  const auto expect = [](std::string_view source, std::string_view part) {
    const std::string message = rendered(source);
    BOOST_TEST(message.find(part) != message.npos, message);
    BOOST_TEST(message.starts_with("t.jinja:"), message);
    BOOST_TEST(message.find('\n') == message.npos);
  };
  expect("\n\n{{ raise_exception('only\nthis') }}", "t.jinja:3: the template refuses these");
  expect("\n{{ a.b }}", "t.jinja:2: 'a' is undefined");
  expect("{{ 'a' + none }}", "unsupported operand");
  expect("{% if a %}", "expected {% endif %}");
  expect("{% for a in b %}{% endif %}", "unknown or misplaced block");
  expect("{{ 'abc }}", "closing quote");
  expect("{{ a b }}", "expected }}, got the name 'b'");
  expect("{{ 1|nothing }}", "no filter named 'nothing'");
  expect("{% include 'x' %}", "not supported");
  expect("{{ messages.append(1) }}", "must not");
  expect("{{ 9223372036854775807 + 1 }}", "64 bits");
}

// Programs of a stranger: each ends soon, in one line.
BOOST_AUTO_TEST_CASE(hostile_templates_are_bounded) {
  const auto repeat = [](std::string_view part, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text.append(part);
    return text;
  };
  const auto refused = [](const std::string& source) {
    const std::string message = rendered(source);
    BOOST_TEST(message.starts_with("t.jinja:"), message.substr(0, 200));
  };
  refused("{{ " + repeat("(", 5000) + "1" + repeat(")", 5000) + " }}");
  refused("{{ " + repeat("not -", 5000) + "1 }}");
  refused("{{ 1" + repeat("+1", 100'000) + " }}");
  refused(repeat("{% if true %}", 5000));
  refused("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
  refused("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}");
  refused("{{ 'x' * 99999999999 }}");
  refused(
      "{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}"
      "{% endfor %}");
  refused(
      "{% set n = namespace(l=[1]) %}{% for i in range(99) %}{% set n.l = [n.l, n.l] %}"
      "{% endfor %}{{ n.l|tojson }}");
  refused(
      "{% set n = namespace(l=[]) %}{% for i in range(99999) %}{% set n.l = [n.l] %}"
      "{% endfor %}{{ n.l }}");
  refused("{{ range(1000000000) }}");
  refused("{{ ('a' * 100000)|replace('a', 'b' * 100000) }}");
}

}  // namespace
}  // namespace collie
