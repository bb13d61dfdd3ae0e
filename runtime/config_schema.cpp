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

Json sources_schema() {
  const Json file = {{"type", "string"}, {"minLength", 1}};
  Json source = {{"type", "object"},
                 {"additionalProperties", false},
                 {"required", Json::array({"path"})},
                 {"properties", Json::object()}};
  source["properties"]["path"] = file;
  source["properties"]["weight"] = {{"type", "number"}, {"exclusiveMinimum", 0}};
  source["properties"]["name"] = {{"type", "string"}};
  const Json entry = {{"anyOf", Json::array({file, source})}};
  const Json list = {{"type", "array"}, {"items", entry}};
  return {{"type", Json::array({"string", "object", "array"})},
          {"anyOf", Json::array({file, source, list})},
          {"default", Json::array()}};
}

Json optional_schema(const OptionalNumber& value) {
  Json schema = {{"type", Json::array({"number", "null"})},
                 {value.low_open ? "exclusiveMinimum" : "minimum", value.low},
                 {value.high_open ? "exclusiveMaximum" : "maximum", value.high},
                 {"default", nullptr}};
  if (*value.value) schema["default"] = **value.value;
  return schema;
}

Json groups_schema() {
  const Json beta = {{"type", "number"}, {"minimum", 0}, {"exclusiveMaximum", 1}};
  Json properties = Json::object();
  properties["pattern"] = {{"type", "string"}, {"minLength", 1}};
  properties["lr_scale"] = {{"type", "number"}, {"minimum", 0}, {"default", 1}};
  properties["weight_decay"] = {{"type", "number"}, {"minimum", 0}};
  properties["beta1"] = beta;
  properties["beta2"] = beta;
  const Json group = {{"type", "object"},
                      {"additionalProperties", false},
                      {"required", Json::array({"pattern"})},
                      {"properties", properties}};
  return {{"type", "array"}, {"items", group}, {"default", Json::array()}};
}

struct SchemaOf {
  Json operator()(const bool* value) const { return {{"type", "boolean"}, {"default", *value}}; }
  Json operator()(const std::string* value) const {
    return {{"type", "string"}, {"default", *value}};
  }
  Json operator()(const std::vector<std::string>* value) const { return files_schema(*value); }
  Json operator()(const std::vector<DataSource>*) const { return sources_schema(); }
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
  Json operator()(const std::vector<ParameterGroup>*) const { return groups_schema(); }
  Json operator()(const FreeList&) const {
    return {{"type", "array"}, {"items", {{"type", "object"}}}, {"default", Json::array()}};
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
