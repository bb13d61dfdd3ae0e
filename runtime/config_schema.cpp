#include <algorithm>

#include "runtime/config_fields.hpp"

namespace collie {
namespace {

using namespace config;

Json integer_schema(const Integer& value) {
  return {{"type", "integer"},
          {"minimum", value.low},
          {"maximum", value.high},
          {"default", value.get()}};
}

Json number_schema(const Number& value) {
  return {{"type", "number"},
          {value.low_open ? "exclusiveMinimum" : "minimum", value.low},
          {value.high_open ? "exclusiveMaximum" : "maximum", value.high},
          {"default", *value.value}};
}

Json files_schema(const std::vector<std::string>& files) {
  return {{"type", {"string", "array"}},
          {"items", {{"type", "string"}, {"minLength", 1}}},
          {"default", files}};
}

Json items_schema(const ItemList& list);

Json optional_schema(const OptionalNumber& value) {
  Json schema = {{"type", Json::array({"number", "null"})},
                 {value.low_open ? "exclusiveMinimum" : "minimum", value.low},
                 {value.high_open ? "exclusiveMaximum" : "maximum", value.high},
                 {"default", nullptr}};
  if (*value.value) schema["default"] = **value.value;
  return schema;
}

struct SchemaOf {
  Json operator()(const bool* value) const { return {{"type", "boolean"}, {"default", *value}}; }
  Json operator()(const std::string* value) const {
    return {{"type", "string"}, {"default", *value}};
  }
  Json operator()(const std::vector<std::string>* value) const { return files_schema(*value); }
  Json operator()(const Integer& value) const { return integer_schema(value); }
  Json operator()(const Number& value) const { return number_schema(value); }
  Json operator()(const Choice& value) const {
    return {{"type", "string"}, {"enum", value.names}, {"default", value.get()}};
  }
  Json operator()(const NameList& value) const {
    return {{"type", {"string", "array"}},
            {"items", {{"type", "string"}, {"enum", value.names}}},
            {"uniqueItems", true},
            {"default", *value.value}};
  }
  Json operator()(const OptionalNumber& value) const { return optional_schema(value); }
  Json operator()(const std::optional<bool>*) const {
    return {{"type", Json::array({"boolean", "null"})}, {"default", nullptr}};
  }
  Json operator()(const ItemList& list) const { return items_schema(list); }
  Json operator()(const FreeObject&) const {
    return {{"type", {"object", "null"}}, {"default", nullptr}};
  }
};

// Of one key of an item. Required strings are not empty.
Json key_schema(const ItemList& list, const Field& field) {
  Json schema = {{"description", field.help}};
  schema.update(std::visit(SchemaOf{}, field.value));
  const bool is_required = std::ranges::find(list.required, field.path) != list.required.end();
  if (is_required || !field.has_default) schema.erase("default");
  if (is_required && schema["type"] == "string" && !schema.contains("enum")) {
    schema["minLength"] = 1;
  }
  return schema;
}

Json items_schema(const ItemList& list) {
  Json object = {{"type", "object"},
                 {"additionalProperties", list.open},
                 {"required", list.required},
                 {"properties", Json::object()}};
  for (const Field& field : list.shape()) {
    object["properties"][std::string(field.path)] = key_schema(list, field);
  }
  Json text = Json::object();
  if (!list.shorthand.empty()) text = object["properties"][std::string(list.shorthand)];
  Json item = object;
  if (!list.shorthand.empty()) item = {{"anyOf", Json::array({text, object})}};
  Json whole = {{"type", "array"}, {"maxItems", list.most}, {"items", item}};
  if (list.bare) {
    whole = {{"type", Json::array({"string", "object", "array"})},
             {"anyOf", Json::array({text, object, whole})}};
  }
  whole["default"] = list.get();
  return whole;
}

Json closed_object() {
  return {{"type", "object"}, {"additionalProperties", false}, {"properties", Json::object()}};
}

}  // namespace

Json config_schema() {
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                 {"title", "collie-actor run configuration"}};
  schema.update(closed_object());
  schema["properties"]["$schema"] = {{"type", "string"}};
  RunConfig defaults;
  for (const Field& field : fields_of(defaults)) {
    Json* section = &schema;
    std::vector<std::string> parts = split_path(field.path);
    const std::string key = parts.back();
    parts.pop_back();
    for (const std::string& part : parts) {
      Json& inner = (*section)["properties"][part];
      if (inner.is_null()) inner = closed_object();
      section = &inner;
    }
    Json entry = {{"description", field.help}};
    entry.update(std::visit(SchemaOf{}, field.value));
    (*section)["properties"][key] = std::move(entry);
  }
  return schema;
}

}  // namespace collie
