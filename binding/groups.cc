#include "groups.h"

#include "convert.h"

namespace secateur::binding {
namespace {

GroupedTensor ParseGroupedTensor(const Napi::Object& object) {
  GroupedTensor tensor;
  const auto view = object.Get("view").As<Napi::Object>();
  tensor.view = {GetInt(view, "batches"), GetInt(view, "outer"), GetInt(view, "rows"),
                 GetInt(view, "inner")};
  tensor.block_rows = GetInt(object, "blockRows");
  tensor.block_columns = GetInt(object, "blockColumns");
  tensor.follows = GetBool(object, "follows");
  const Napi::Value sets = object.Get("sets");
  if (sets.IsTypedArray() && sets.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array) {
    const auto array = sets.As<Napi::Int32Array>();
    tensor.sets.assign(array.Data(), array.Data() + array.ElementLength());
  } else if (!sets.IsUndefined()) {
    throw Napi::TypeError::New(object.Env(), "Expected sets to be an Int32Array");
  }
  return tensor;
}

}  // namespace

std::optional<Grouping> ParseGrouping(const Napi::Value& value) {
  if (value.IsUndefined()) return std::nullopt;
  const auto object = value.As<Napi::Object>();
  Grouping grouping;
  grouping.rule = GetString(object, "rule") == "within" ? GroupRule::kWithin : GroupRule::kWhole;
  grouping.keep = GetInt(object, "keep");
  const Napi::Array tensors = GetArray(object, "tensors");
  for (uint32_t t = 0; t < tensors.Length(); ++t) {
    grouping.tensors.push_back(ParseGroupedTensor(tensors.Get(t).As<Napi::Object>()));
  }
  return grouping;
}

Napi::Object WrapGroupCounts(Napi::Env env, const GroupSelection& groups) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("groups", static_cast<double>(groups.groups));
  object.Set("removedGroups", static_cast<double>(groups.removed_groups));
  Napi::Array tensors = Napi::Array::New(env, groups.tensors.size());
  for (uint32_t t = 0; t < groups.tensors.size(); ++t) {
    Napi::Object counts = Napi::Object::New(env);
    counts.Set("removed", static_cast<double>(groups.tensors[t].removed));
    counts.Set("groups", static_cast<double>(groups.tensors[t].groups));
    counts.Set("removedGroups", static_cast<double>(groups.tensors[t].removed_groups));
    tensors.Set(t, counts);
  }
  object.Set("tensors", tensors);
  return object;
}

}  // namespace secateur::binding
