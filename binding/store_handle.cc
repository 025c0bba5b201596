#include "store_handle.h"

#include <array>
#include <utility>

#include "convert.h"

namespace secateur::binding {
namespace {

constexpr napi_type_tag kStoreTag = {0x8c1f42e97ad05b36, 0x91d3e60b7f28a4c5};
using Shared = std::shared_ptr<ParameterStore>;

constexpr size_t kMaskBuffer = kSlots;
constexpr size_t kSupportBuffer = kSlots + 1;

// What a handle holds: the store, and this environment's buffers over its slots, its mask and its
// support. Used on one JavaScript thread only.
struct HeldStore {
  Shared store;
  std::array<Napi::Reference<Napi::ArrayBuffer>, kSlots + 2> buffers;
};

HeldStore& HeldBy(const Napi::Value& value) {
  if (!value.IsExternal() || !value.As<Napi::Object>().CheckTypeTag(&kStoreTag)) {
    throw Napi::TypeError::New(value.Env(), "Expected handle to be that of a parameter store");
  }
  return *value.As<Napi::External<HeldStore>>().Data();
}

// One buffer a slot, made once: the buffer of `index`, over `bytes` of `data`.
Napi::ArrayBuffer BufferOf(Napi::Env env, HeldStore& held, size_t index, void* data,
                           int64_t bytes) {
  Napi::Reference<Napi::ArrayBuffer>& reference = held.buffers[index];
  if (reference.IsEmpty()) {
    auto* kept = new Shared(held.store);
    const auto release = [](Napi::BasicEnv, void*, Shared* owned) { delete owned; };
    try {
      reference = Napi::Persistent(
          Napi::ArrayBuffer::New(env, data, static_cast<size_t>(bytes), release, kept));
    } catch (const Napi::Error&) {
      delete kept;
      throw;
    }
  }
  return reference.Value();
}

// One byte a weight, one array a tensor.
Napi::Array ByteViews(const Napi::Value& handle, const ParameterStore& store, size_t index,
                      uint8_t* bytes) {
  const Napi::Env env = handle.Env();
  Napi::Array views = Napi::Array::New(env, store.tensors().size());
  for (uint32_t t = 0; t < store.tensors().size(); ++t) {
    const auto count = static_cast<size_t>(store.tensors()[t].count);
    if (store.PaddedElements() == 0) {
      views.Set(t, Napi::Uint8Array::New(env, 0));
      continue;
    }
    const Napi::ArrayBuffer buffer =
        BufferOf(env, HeldBy(handle), index, bytes, store.PaddedElements());
    views.Set(t, Napi::Uint8Array::New(env, count, buffer, static_cast<size_t>(store.Offset(t))));
  }
  return views;
}

}  // namespace

Napi::Value WrapStore(Napi::Env env, Shared store) {
  auto* held = new HeldStore{std::move(store), {}};
  auto handle = Napi::External<HeldStore>::New(
      env, held, [](Napi::BasicEnv, HeldStore* owned) { delete owned; });
  handle.As<Napi::Object>().TypeTag(&kStoreTag);
  return handle;
}

Shared UnwrapStore(const Napi::Value& value) {
  Shared store = HeldBy(value).store;
  if (store == nullptr) {
    throw ToJsError(value.Env(), Error("INVALID_OPTION",
                                       "Expected a parameter store in use, got one disposed of"));
  }
  return store;
}

Napi::Array SlotViews(const Napi::Value& handle, Slot slot) {
  const Napi::Env env = handle.Env();
  const Shared store = UnwrapStore(handle);
  const std::scoped_lock lock(store->mutex);
  store->Allocate(slot);
  store->BringHome(slot);
  constexpr auto kFloat = static_cast<int64_t>(sizeof(float));
  Napi::Array views = Napi::Array::New(env, store->tensors().size());
  for (uint32_t t = 0; t < store->tensors().size(); ++t) {
    const auto count = static_cast<size_t>(store->tensors()[t].count);
    if (store->PaddedElements() == 0) {
      views.Set(t, Napi::Float32Array::New(env, 0));
      continue;
    }
    const Napi::ArrayBuffer buffer = BufferOf(env, HeldBy(handle), static_cast<size_t>(slot),
                                              store->Data(slot), store->PaddedElements() * kFloat);
    const auto offset = static_cast<size_t>(store->Offset(t) * kFloat);
    views.Set(t, Napi::Float32Array::New(env, count, buffer, offset));
  }
  return views;
}

Napi::Array MaskViews(const Napi::Value& handle) {
  const Shared store = UnwrapStore(handle);
  const std::scoped_lock lock(store->mutex);
  store->AllocateMask();
  ++store->mask_revision;
  return ByteViews(handle, *store, kMaskBuffer, store->MaskBytes());
}

Napi::Array SupportViews(const Napi::Value& handle) {
  const Shared store = UnwrapStore(handle);
  const std::scoped_lock lock(store->mutex);
  store->AllocateSupport();
  ++store->mask_revision;
  return ByteViews(handle, *store, kSupportBuffer, store->SupportBytes());
}

void DisposeStore(const Napi::Value& handle) {
  HeldStore& held = HeldBy(handle);
  for (Napi::Reference<Napi::ArrayBuffer>& reference : held.buffers) {
    if (reference.IsEmpty()) continue;
    Napi::ArrayBuffer buffer = reference.Value();
    if (!buffer.IsDetached()) buffer.Detach();
    reference.Reset();
  }
  held.store.reset();
}

}  // namespace secateur::binding
