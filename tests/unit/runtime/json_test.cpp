#define BOOST_TEST_MODULE json
#include "runtime/json.hpp"

#include <limits>

#include "tests/unit/runtime/temporary_directory.hpp"

using namespace collie;
using collie::test::check_error;
using collie::test::TemporaryDirectory;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t any = std::numeric_limits<std::int64_t>::max();

void check_refused(std::string_view text, std::string_view message) {
  check_error(parse_json(text, "x.json"), ErrorCode::invalid_file, message);
}

std::string nested(int depth) {
  return std::string(static_cast<std::size_t>(depth), '[') + "1" +
         std::string(static_cast<std::size_t>(depth), ']');
}

}  // namespace

BOOST_AUTO_TEST_CASE(documents_survive_a_round_trip) {
  const std::string text =
      R"({"z":1,"a":[true,null,-2,18446744073709551615,0.1,1e-05],"t":"\u00fc\n\"","o":{}})";
  const auto json = parse_json(text, "x.json");
  BOOST_REQUIRE(json.ok());
  BOOST_TEST(dump_json(*json, 0) ==
             "{\"z\":1,\"a\":[true,null,-2,18446744073709551615,0.1,1e-05],"
             "\"t\":\"\xc3\xbc\\n\\\"\",\"o\":{}}");
  BOOST_TEST(dump_json(*parse_json("{\"a\":[1]}", "x"), 2) == "{\n  \"a\": [\n    1\n  ]\n}");
  BOOST_TEST(dump_json(*parse_json("3", "x"), 0) == "3");
  BOOST_TEST(dump_json(Json("\xff"), 0) == "\"\xef\xbf\xbd\"");
}

BOOST_AUTO_TEST_CASE(integers_beyond_64_bits_become_doubles) {
  const auto json = parse_json(
      R"({"model_max_length": 1000000000000000019884624838656, "s": "\"99999999999999999999",
          "n": -99999999999999999999})",
      "tokenizer_config.json");
  BOOST_REQUIRE(json.ok());
  BOOST_TEST((*json)["model_max_length"].get<double>() == 1e30);
  BOOST_TEST((*json)["n"].get<double>() == -1e20);
  BOOST_TEST((*json)["s"].get<std::string>() == "\"99999999999999999999");
}

BOOST_AUTO_TEST_CASE(broken_documents_are_located) {
  check_refused("", "x.json: not valid JSON: the document is empty");
  check_refused("{\n \"a\": {\"b\": 01}}", "a number that cannot be read at line 2, column");
  check_refused("{\n \"a\": {\"b\": 01}}", "in 'a.b'");
  check_refused("[1, 2", "wrong structure at line 1, column 6");
  check_refused("{\"a\": 1} x", "wrong structure at line 1, column 10");
  check_refused("{\"a\": \"\xff\"}", "invalid UTF-8 at line 1");
  check_refused("{\"a\": \"b\x01\"}", "a control character in a string at line 1");
  check_refused("{\"a\": \"b", "a string without its end");
  check_refused("[\"\\ud800\"]", "a string with a wrong escape");
  check_refused("[1e999]", "a number that cannot be read");
  check_refused("[NaN]", "x.json: not valid JSON");
}

BOOST_AUTO_TEST_CASE(duplicate_keys_are_refused) {
  check_refused(R"({"a":1,"a":2})", "x.json: key 'a' appears twice");
  check_refused(R"({"a":[0,{"b":1,"c":2,"\u0062":3}]})", "key 'a.1.b' appears twice");
  BOOST_CHECK(parse_json(R"({"a":{"b":1},"b":{"b":1}})", "x").ok());
}

BOOST_AUTO_TEST_CASE(size_and_depth_are_bounded) {
  check_error(parse_json("[1,2]", "x.json", 4), ErrorCode::invalid_file, "is over the limit of 4");
  BOOST_CHECK(parse_json("[1,2]", "x.json", 5).ok());
  BOOST_CHECK(parse_json(nested(limits::json_depth_max), "x.json").ok());
  check_refused(nested(limits::json_depth_max + 1), "nested too deeply (limit 64)");
  check_refused(nested(1'000'000), "nested too deeply");
}

BOOST_AUTO_TEST_CASE(files_are_read) {
  const TemporaryDirectory directory;
  BOOST_TEST((*read_json(directory.put("a.json", "{\"a\":7}")))["a"].get<int>() == 7);
  check_error(read_json(directory.put("b.json", "{")), ErrorCode::invalid_file,
              "b.json: not valid");
  check_error(read_json(directory.file("c.json")), ErrorCode::not_found, "c.json: cannot open");
  check_error(read_json(directory.file("a.json"), 3), ErrorCode::invalid_file, "limit of 3 bytes");
}

BOOST_AUTO_TEST_CASE(reader_gives_typed_values) {
  const Json json = *parse_json(
      R"({"i":3,"f":2.0,"d":0.5,"b":true,"s":"x","n":null,"l":[1,2],"t":["a"],"o":{"k":1}})", "x");
  const JsonReader reader = *JsonReader::open(json, "x.json");
  BOOST_TEST(*reader.get_int("i", 1, 3) == 3);
  BOOST_TEST(*reader.get_int("f", 0, any) == 2);
  BOOST_TEST(*reader.get_number("d", 0, 1) == 0.5);
  BOOST_TEST(*reader.get_number("i", 0, 4) == 3.0);
  BOOST_TEST(*reader.get_bool("b"));
  BOOST_TEST(*reader.get_string("s") == "x");
  BOOST_TEST(*reader.optional_int("n", 9, 0, any) == 9);
  BOOST_TEST(*reader.optional_number("n", 0.25, 0, 1) == 0.25);
  BOOST_TEST(*reader.optional_bool("missing", true));
  BOOST_TEST(*reader.optional_string("missing", "y") == "y");
  BOOST_TEST(reader.get_ints("l", 0, 9)->at(1) == 2);
  BOOST_TEST(reader.get_strings("t")->at(0) == "a");
  BOOST_TEST(*reader.get_object("o")->get_int("k", 0, 1) == 1);
  BOOST_TEST(!reader.has("n"));
  BOOST_CHECK(reader.refuse_unknown_keys().ok());
}

BOOST_AUTO_TEST_CASE(reader_names_the_key) {
  const Json json =
      *parse_json(R"({"h":"x","d":1.5,"big":18446744073709551615,"o":{"k":[1,"a"],"f":3}})", "x");
  const JsonReader reader = *JsonReader::open(json, "config.json");
  const JsonReader inner = *reader.get_object("o");
  const auto code = ErrorCode::invalid_file;
  check_error(reader.get_int("h", 1, any), code,
              "config.json: h: expected an integer >= 1, got \"x\"");
  check_error(reader.get_int("d", 0, 8), code, "d: expected an integer from 0 to 8, got 1.5");
  check_error(reader.get_int("big", 0, any), code, "got 18446744073709551615");
  check_error(reader.get_int("none", 0, any), code, "none: missing; expected an integer >= 0");
  check_error(reader.get_number("h", -infinity, 2), code, "expected a number <= 2, got \"x\"");
  check_error(reader.get_number("d", 2, infinity), code, "d: expected a number");
  check_error(reader.get_bool("d"), code, "d: expected true or false, got 1.5");
  check_error(reader.get_string("o"), code, "o: expected a string, got an object");
  check_error(reader.get_object("h"), code, "config.json: h: expected an object, got \"x\"");
  check_error(reader.get_array("h"), code, "h: expected an array");
  check_error(inner.get_ints("k", 0, 9), code,
              "config.json: o.k.1: expected an integer from 0 to 9, got \"a\"");
  check_error(inner.get_strings("k"), code, "o.k.0: expected a string, got 1");
  check_error(inner.optional_int("f", 0, 0, 2), code,
              "o.f: expected an integer from 0 to 2, got 3");
  check_error(JsonReader::open(json["h"], "config.json", "h", ErrorCode::invalid_config),
              ErrorCode::invalid_config, "config.json: h: expected an object, got \"x\"");
}

BOOST_AUTO_TEST_CASE(unknown_keys_come_with_a_suggestion) {
  const Json json = *parse_json(R"({"train":{"warmup_step":1}})", "x");
  const JsonReader reader = *JsonReader::open(json, "run.json", {}, ErrorCode::invalid_config);
  const JsonReader train = *reader.get_object("train");
  BOOST_TEST(*train.optional_int("warmup_steps", 4, 0, 9) == 4);
  BOOST_CHECK(reader.refuse_unknown_keys().ok());
  check_error(train.refuse_unknown_keys(), ErrorCode::invalid_config,
              "run.json: train: unknown key 'warmup_step'; did you mean 'warmup_steps'?");
  const Json far = *parse_json(R"({"zzz":1})", "x");
  const JsonReader other = *JsonReader::open(far, "run.json");
  BOOST_TEST(!other.has("lr"));
  check_error(other.refuse_unknown_keys(), ErrorCode::invalid_file,
              "run.json: unknown key 'zzz'; known keys are lr");
}
