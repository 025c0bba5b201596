// The functions of GPUs: what there is, and tensors that stay there. Two comment lines each, as in
// addon.cc: what it calls, and its TypeScript signature.
#include "secateur/device.h"

#include <memory>
#include <utility>

#include "convert.h"
#include "device.h"
#include "exports.h"
#include "secateur/error.h"
#include "selection_handle.h"
#include "store_handle.h"
#include "task.h"

namespace secateur::binding {
namespace {

constexpr napi_type_tag kDeviceTag = {0x5d27c9f4116e4b80, 0x83af60d2e95b71c4};
using Shared = std::shared_ptr<DeviceTensors>;

Napi::Value WrapTensors(Napi::Env env, Shared& tensors) {
  auto* held = new Shared(std::move(tensors));
  auto handle =
      Napi::External<Shared>::New(env, held, [](Napi::BasicEnv, Shared* owned) { delete owned; });
  handle.As<Napi::Object>().TypeTag(&kDeviceTag);
  return handle;
}

Shared& HeldBy(const Napi::Value& value) {
  if (!value.IsExternal() || !value.As<Napi::Object>().CheckTypeTag(&kDeviceTag))
    throw Napi::TypeError::New(value.Env(), "Expected handle to be that of tensors on a GPU");
  return *value.As<Napi::External<Shared>>().Data();
}

Shared UnwrapTensors(const Napi::Value& value) {
  Shared tensors = HeldBy(value);
  if (tensors == nullptr) {
    throw ToJsError(value.Env(),
                    Error("INVALID_OPTION", "Expected tensors on a GPU, got some disposed of"));
  }
  return tensors;
}

std::vector<TensorKind> KindsOf(const DeviceTensors& tensors) {
  std::vector<TensorKind> kinds;
  for (const Tensor& tensor : tensors.tensors()) kinds.push_back({tensor.dtype, tensor.count});
  return kinds;
}

std::shared_ptr<const HeldSelection> SelectionFor(const Napi::Value& handle,
                                                  const DeviceTensors& tensors) {
  std::vector<MaskedTensor> kinds;
  for (const auto& [dtype, count] : KindsOf(tensors))
    kinds.push_back({dtype, count, nullptr, nullptr});
  return UnwrapSelection(handle, kinds);
}

Napi::Value WrapFacts(Napi::Env env, const DeviceFacts& facts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", facts.name);
  object.Set("capability", std::to_string(facts.major) + "." + std::to_string(facts.minor));
  object.Set("processors", facts.processors);
  object.Set("driver", facts.driver);
  object.Set("runtime", facts.runtime);
  object.Set("totalBytes", static_cast<double>(facts.total_bytes));
  object.Set("freeBytes", static_cast<double>(facts.free_bytes));
  return object;
}

// DeviceFacts Device::Open(const std::string& library)->facts()
// deviceFacts(library: string): Promise<NativeDeviceFacts>
Napi::Value FactsAsync(const Napi::CallbackInfo& info) {
  const std::string library = info[0].ToString().Utf8Value();
  return Task<DeviceFacts>::Run(
      info, info.Env().Undefined(), [library](Monitor*) { return Device::Open(library)->facts(); },
      [](Napi::Env env, DeviceFacts& facts) { return WrapFacts(env, facts); });
}

// DeviceTensors(std::shared_ptr<const Device>, const std::vector<MaskedTensor>&, ...)
// uploadTensors(library: string, tensors: NativeTensor[], control?: NativeControl):
// Promise<DeviceHandle>
Napi::Value Upload(const Napi::CallbackInfo& info) {
  const std::string library = info[0].ToString().Utf8Value();
  const auto array = info[1].As<Napi::Array>();
  return Task<Shared>::Run(
      info, info[2],
      [library, tensors = ParseTensors(array), factors = ParseFactors(array)](Monitor* monitor) {
        return std::make_shared<DeviceTensors>(Device::Open(library), tensors, factors,
                                               MaskOptions{0, nullptr, monitor});
      },
      [](Napi::Env env, Shared& tensors) { return WrapTensors(env, tensors); });
}

// std::vector<Selection> DeviceTensors::Select(SelectOptions)
// selectThere(tensors: DeviceHandle, options: NativeSelectOptions, control?: NativeControl):
// Promise<NativeSelection[]>
Napi::Value SelectThere(const Napi::CallbackInfo& info) {
  const Shared tensors = UnwrapTensors(info[0]);
  SelectOptions options = ParseSelectOptions(info[1].As<Napi::Object>());
  return Task<std::vector<Selection>>::Run(
      info, info[2],
      [tensors, options](Monitor* monitor) mutable {
        options.monitor = monitor;
        return tensors->Select(options);
      },
      [tensors](Napi::Env env, std::vector<Selection>& result) {
        return WrapSelections(env, result, KindsOf(*tensors));
      });
}

// std::vector<int64_t> DeviceTensors::Apply(const std::vector<TensorThreshold>&)
// applyThere(tensors: DeviceHandle, handle: SelectionHandle): Promise<number[]>
Napi::Value ApplyThere(const Napi::CallbackInfo& info) {
  const Shared tensors = UnwrapTensors(info[0]);
  const auto held = SelectionFor(info[1], *tensors);
  return Task<std::vector<int64_t>>::Run(
      info, info.Env().Undefined(),
      [tensors, held](Monitor*) { return tensors->Apply(held->selection.tensors); },
      [](Napi::Env env, std::vector<int64_t>& zeros) { return ToArray(env, zeros); });
}

// The memory of tensors to copy to; a TypeError where they are not as those on the GPU.
std::vector<std::byte*> MemoryFor(const Napi::Value& value, const DeviceTensors& tensors) {
  const std::vector<MaskedTensor> into = ParseTensors(value.As<Napi::Array>());
  std::vector<std::byte*> out;
  bool same = into.size() == tensors.tensors().size();
  for (size_t t = 0; same && t < into.size(); ++t) {
    same =
        into[t].count == tensors.tensors()[t].count && into[t].dtype == tensors.tensors()[t].dtype;
    out.push_back(into[t].out);
  }
  if (!same) throw Napi::TypeError::New(value.Env(), "Expected as many tensors as were uploaded");
  return out;
}

// void DeviceTensors::Download(const std::vector<std::byte*>&)
// downloadTensors(tensors: DeviceHandle, into: NativeTensor[]): Promise<void>
Napi::Value Download(const Napi::CallbackInfo& info) {
  const Shared tensors = UnwrapTensors(info[0]);
  const std::vector<std::byte*> out = MemoryFor(info[1], *tensors);
  return Task<bool>::Run(
      info, info.Env().Undefined(),
      [tensors, out](Monitor*) {
        tensors->Download(out);
        return true;
      },
      [](Napi::Env env, bool&) { return env.Undefined(); });
}

// std::vector<int64_t> DeviceTensors::DownloadMasked(const std::vector<TensorThreshold>&, ...)
// downloadMasked(tensors: DeviceHandle, handle: SelectionHandle, into: NativeTensor[]):
// Promise<number[]>
Napi::Value DownloadMasked(const Napi::CallbackInfo& info) {
  const Shared tensors = UnwrapTensors(info[0]);
  const auto held = SelectionFor(info[1], *tensors);
  const std::vector<std::byte*> out = MemoryFor(info[2], *tensors);
  return Task<std::vector<int64_t>>::Run(
      info, info.Env().Undefined(),
      [tensors, held, out](Monitor*) {
        return tensors->DownloadMasked(held->selection.tensors, out);
      },
      [](Napi::Env env, std::vector<int64_t>& zeros) { return ToArray(env, zeros); });
}

// void DeviceTensors::Pack(const std::vector<TensorThreshold>&, const std::vector<uint8_t*>&)
// packThere(tensors: DeviceHandle, handle: SelectionHandle): Promise<Uint8Array[]>
Napi::Value PackThere(const Napi::CallbackInfo& info) {
  const Shared tensors = UnwrapTensors(info[0]);
  const auto held = SelectionFor(info[1], *tensors);
  const MaskArrays masks(info.Env(), KindsOf(*tensors));
  return Task<bool>::Run(
      info, info.Env().Undefined(),
      [tensors, held, out = masks.out](Monitor*) {
        tensors->Pack(held->selection.tensors, out);
        return true;
      },
      [kept = masks.kept](Napi::Env, bool&) { return kept->Value(); });
}

// void TrainOnDevice(ParameterStore&, std::shared_ptr<const Device>)
// setStoreDevice(store: StoreHandle, library?: string): void
Napi::Value SetStoreDevice(const Napi::CallbackInfo& info) {
  const auto store = UnwrapStore(info[0]);
  try {
    const bool there = info[1].IsString();
    TrainOnDevice(*store, there ? Device::Open(info[1].ToString().Utf8Value()) : nullptr);
  } catch (const Error& error) {
    throw ToJsError(info.Env(), error);
  }
  return info.Env().Undefined();
}

// ~DeviceTensors(), when the calls that run are done
// disposeTensors(tensors: DeviceHandle): void
Napi::Value Dispose(const Napi::CallbackInfo& info) {
  HeldBy(info[0]).reset();
  return info.Env().Undefined();
}

}  // namespace

void AddDevice(Napi::Object exports) {
  auto add = AdderTo(exports);
  add("deviceFacts", FactsAsync);
  add("uploadTensors", Upload);
  add("selectThere", SelectThere);
  add("applyThere", ApplyThere);
  add("packThere", PackThere);
  add("downloadTensors", Download);
  add("downloadMasked", DownloadMasked);
  add("setStoreDevice", SetStoreDevice);
  add("disposeTensors", Dispose);
}

}  // namespace secateur::binding
