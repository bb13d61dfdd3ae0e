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
  Json operator()(const FreeObject&) const {
    return {{"type", {"object", "null"}}, {"default", nullptr}};
  }
};

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
