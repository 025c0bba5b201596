#include "selection_handle.h"

namespace secateur::binding {
namespace {

constexpr napi_type_tag kSelectionTag = {0x3b9e1f6d20c84ea5, 0xb64d8f7a5c0e9213};
using Held = std::shared_ptr<const HeldSelection>;

}  // namespace

Napi::Object WrapSelection(Napi::Env env, Selection selection,
                           const std::vector<TensorKind>& kinds) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("ratio", selection.ratio);
  object.Set("removed", static_cast<double>(selection.removed));
  object.Set("threshold", selection.threshold);
  Napi::Array tensors = Napi::Array::New(env, selection.tensors.size());
  for (uint32_t t = 0; t < selection.tensors.size(); ++t) {
    Napi::Object tensor = Napi::Object::New(env);
    tensor.Set("threshold", selection.tensors[t].score);
    tensor.Set("removed", static_cast<double>(selection.tensors[t].removed));
    tensors.Set(t, tensor);
  }
  object.Set("tensors", tensors);
  auto* held =
      new Held(std::make_shared<const HeldSelection>(HeldSelection{std::move(selection), kinds}));
  auto handle =
      Napi::External<Held>::New(env, held, [](Napi::BasicEnv, Held* owned) { delete owned; });
  handle.As<Napi::Object>().TypeTag(&kSelectionTag);
  object.Set("handle", handle);
  return object;
}

Napi::Array WrapSelections(Napi::Env env, std::vector<Selection>& selections,
                           const std::vector<TensorKind>& kinds) {
  Napi::Array array = Napi::Array::New(env, selections.size());
  for (uint32_t i = 0; i < selections.size(); ++i)
    array.Set(i, WrapSelection(env, std::move(selections[i]), kinds));
  return array;
}

MaskArrays::MaskArrays(Napi::Env env, const std::vector<TensorKind>& kinds) {
  Napi::Array masks = Napi::Array::New(env, kinds.size());
  for (uint32_t t = 0; t < kinds.size(); ++t) {
    auto mask = Napi::Uint8Array::New(env, static_cast<size_t>((kinds[t].count + 7) / 8));
    masks.Set(t, mask);
    out.push_back(mask.Data());
  }
  kept = std::make_shared<Napi::ObjectReference>(Napi::Persistent(masks.As<Napi::Object>()));
}

std::shared_ptr<const HeldSelection> UnwrapSelection(const Napi::Value& value,
                                                     const std::vector<MaskedTensor>& tensors) {
  if (!value.IsExternal() || !value.As<Napi::Object>().CheckTypeTag(&kSelectionTag)) {
    throw Napi::TypeError::New(value.Env(), "Expected handle to be that of a selection");
  }
  Held held = *value.As<Napi::External<Held>>().Data();
  bool same = held->kinds.size() == tensors.size();
  for (size_t t = 0; same && t < tensors.size(); ++t) {
    same = held->kinds[t].dtype == tensors[t].dtype && held->kinds[t].count == tensors[t].count;
  }
  if (!same) {
    throw Napi::TypeError::New(
        value.Env(), "Expected tensors of the types and sizes that the selection was made from");
  }
  return held;
}

}  // namespace secateur::binding
