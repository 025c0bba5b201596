// Every function that JavaScript sees: unwrap, one call, wrap. Two comment lines each: what it
// calls, and its TypeScript signature, which scripts/check-binding.mjs compares with
// src/native/contract.ts.
#include <deque>

#include "control.h"
#include "convert.h"
#include "device.h"
#include "exports.h"
#include "groups.h"
#include "napi_setup.h"
#include "optimizer.h"
#include "packing.h"
#include "secateur/device.h"
#include "secateur/measure.h"
#include "secateur/memory.h"
#include "secateur/random.h"
#include "selection_handle.h"
#include "task.h"

namespace secateur::binding {
namespace {

Napi::Value BackendName(Napi::Env env, const Backend& backend) {
  return Napi::String::New(env, std::string(backend.name));
}

// Tensors of the caller's memory, as selection wants them.
struct MemoryTensors {
  std::deque<MemorySource> sources;
  std::vector<Tensor> tensors;
  std::vector<TensorKind> kinds;

  MemoryTensors(const std::vector<MaskedTensor>& views, const std::vector<double>& factors) {
    for (size_t t = 0; t < views.size(); ++t) {
      const auto& [dtype, count, in, out] = views[t];
      const MemorySource& source = sources.emplace_back(out);
      const Run run{&source, 0, count * ElementBytes(dtype)};
      tensors.push_back({"tensor " + std::to_string(t), dtype, factors[t], count, {run}});
      kinds.push_back({dtype, count});
    }
  }
};

// const Backend& ActiveBackend()
// backend(): Backend
Napi::Value GetBackend(const Napi::CallbackInfo& info) {
  try {
    return BackendName(info.Env(), ActiveBackend());
  } catch (const Error& error) {
    throw ToJsError(info.Env(), error);
  }
}

// const std::vector<const Backend*>& SupportedBackends()
// backends(): Backend[]
Napi::Value GetBackends(const Napi::CallbackInfo& info) {
  Napi::Array names = Napi::Array::New(info.Env());
  for (const Backend* backend : SupportedBackends())
    names.Set(names.Length(), BackendName(info.Env(), *backend));
  return names;
}

// std::vector<Selection> Select(const std::vector<Tensor>&, const SelectOptions&)
// select(tensors: NativeTensor[], options: NativeSelectOptions, control?: NativeControl):
// Promise<NativeSelection[]>
Napi::Value SelectAsync(const Napi::CallbackInfo& info) {
  const auto array = info[0].As<Napi::Array>();
  auto memory = std::make_shared<MemoryTensors>(ParseTensors(array), ParseFactors(array));
  SelectOptions options = ParseSelectOptions(info[1].As<Napi::Object>());
  return Task<std::vector<Selection>>::Run(
      info, info[2],
      [memory, options](Monitor* monitor) mutable {
        options.monitor = monitor;
        return Select(memory->tensors, options);
      },
      [memory](Napi::Env env, std::vector<Selection>& result) {
        return WrapSelections(env, result, memory->kinds);
      });
}

// std::vector<int64_t> ApplyMask(const std::vector<MaskedTensor>&, const
// std::vector<TensorThreshold>&, ...) applySelection(handle: SelectionHandle, tensors:
// NativeTensor[], threads: number): Promise<number[]>
Napi::Value ApplySelection(const Napi::CallbackInfo& info) {
  const std::vector<MaskedTensor> tensors = ParseTensors(info[1].As<Napi::Array>());
  const auto held = UnwrapSelection(info[0], tensors);
  const int threads = info[2].As<Napi::Number>().Int32Value();
  return Task<std::vector<int64_t>>::Run(
      info, info.Env().Undefined(),
      [tensors, held, threads](Monitor* monitor) {
        return ApplyMask(tensors, held->selection.tensors, {threads, nullptr, monitor});
      },
      [](Napi::Env env, std::vector<int64_t>& zeros) { return ToArray(env, zeros); });
}

// void PackMask(const std::vector<MaskedTensor>&, const std::vector<TensorThreshold>&, ...)
// packMasks(handle: SelectionHandle, tensors: NativeTensor[], threads: number):
// Promise<Uint8Array[]>
Napi::Value PackMasks(const Napi::CallbackInfo& info) {
  const std::vector<MaskedTensor> tensors = ParseTensors(info[1].As<Napi::Array>());
  const auto held = UnwrapSelection(info[0], tensors);
  const int threads = info[2].As<Napi::Number>().Int32Value();
  std::vector<TensorKind> kinds;
  for (const MaskedTensor& tensor : tensors) kinds.push_back({tensor.dtype, tensor.count});
  const MaskArrays masks(info.Env(), kinds);
  return Task<bool>::Run(
      info, info.Env().Undefined(),
      [tensors, held, threads, out = masks.out](Monitor* monitor) {
        PackMask(tensors, held->selection.tensors, out, {threads, nullptr, monitor});
        return true;
      },
      [kept = masks.kept](Napi::Env, bool&) { return kept->Value(); });
}

Napi::Object WrapPruneResult(Napi::Env env, PruneResult& result,
                             const std::vector<TensorKind>& kinds) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("selections", WrapSelections(env, result.selections, kinds));
  object.Set("zeros", ToArray(env, result.zeros));
  Napi::Object seconds = Napi::Object::New(env);
  seconds.Set("select", result.select_seconds);
  seconds.Set("apply", result.apply_seconds);
  object.Set("seconds", seconds);
  object.Set("threads", result.threads);
  object.Set("backend", BackendName(env, ActiveBackend()));
  if (result.groups) object.Set("groups", WrapGroupCounts(env, *result.groups));
  return object;
}

// PruneResult PruneFiles(const PruneJob&)
// pruneFiles(job: NativePruneJob, control?: NativeControl): Promise<NativePruneResult>
Napi::Value PruneFilesAsync(const Napi::CallbackInfo& info) {
  auto job = std::make_shared<PruneJob>(ParsePruneJob(info[0].As<Napi::Object>()));
  std::vector<TensorKind> kinds;
  for (const FileTensor& tensor : job->tensors) kinds.push_back({tensor.dtype, tensor.count});
  const Napi::Value library = info[0].As<Napi::Object>().Get("cudaLibrary");
  const std::string cuda = library.IsString() ? library.ToString().Utf8Value() : "";
  return Task<PruneResult>::Run(
      info, info[1],
      [job, cuda](Monitor* monitor) {
        const auto device = cuda.empty() ? nullptr : Device::Open(cuda);
        job->select.device = device.get();
        job->select.monitor = monitor;
        return PruneFiles(*job);
      },
      [kinds](Napi::Env env, PruneResult& result) { return WrapPruneResult(env, result, kinds); });
}

// std::vector<int64_t> CountZerosInFiles(const std::vector<FileSourceSpec>&, const
// std::vector<FileTensor>&, ...) countZeros(job: Pick<NativePruneJob, 'sources' | 'tensors'>,
// threads: number, control?: NativeControl): Promise<number[]>
Napi::Value CountZerosAsync(const Napi::CallbackInfo& info) {
  const auto job = info[0].As<Napi::Object>();
  const std::vector<FileSourceSpec> sources = ParseSources(GetArray(job, "sources"));
  const std::vector<FileTensor> tensors = ParseFileTensors(GetArray(job, "tensors"));
  SelectOptions options;
  options.threads = info[1].As<Napi::Number>().Int32Value();
  return Task<std::vector<int64_t>>::Run(
      info, info[2],
      [sources, tensors, options](Monitor* monitor) mutable {
        options.monitor = monitor;
        return CountZerosInFiles(sources, tensors, options);
      },
      [](Napi::Env env, std::vector<int64_t>& zeros) { return ToArray(env, zeros); });
}

// void FillNormal(std::span<float>, uint64_t seed, uint64_t stream, double deviation, int threads)
// fillNormal(target: Float32Array, options: { seed: number; stream: number; std: number }): void
Napi::Value FillNormalSync(const Napi::CallbackInfo& info) {
  auto target = info[0].As<Napi::Float32Array>();
  const auto options = info[1].As<Napi::Object>();
  FillNormal({target.Data(), target.ElementLength()},
             static_cast<uint64_t>(GetInt(options, "seed")),
             static_cast<uint64_t>(GetInt(options, "stream")), GetDouble(options, "std"), 0);
  return info.Env().Undefined();
}

// void ReturnFreedMemory()
// returnFreedMemory(): void
Napi::Value ReturnFreedMemorySync(const Napi::CallbackInfo& info) {
  ReturnFreedMemory();
  return info.Env().Undefined();
}

SelectMeasureOptions ParseMeasureOptions(const Napi::Object& object) {
  SelectMeasureOptions options;
  options.elements = GetInt(object, "elements");
  options.dtype = ParseDType(object);
  options.distribution = GetString(object, "distribution");
  const Napi::Array ratios = GetArray(object, "ratios");
  options.ratios.clear();
  for (uint32_t i = 0; i < ratios.Length(); ++i)
    options.ratios.push_back(ratios.Get(i).ToNumber().DoubleValue());
  options.threads = static_cast<int>(GetInt(object, "threads"));
  options.repeats = static_cast<int>(GetInt(object, "repeats"));
  options.seed = static_cast<uint64_t>(GetInt(object, "seed"));
  return options;
}

// SelectMeasure MeasureSelect(const SelectMeasureOptions&)
// benchSelect(options: SelectBenchOptions): Promise<SelectBenchResult>
Napi::Value BenchSelect(const Napi::CallbackInfo& info) {
  const SelectMeasureOptions options = ParseMeasureOptions(info[0].As<Napi::Object>());
  return Task<SelectMeasure>::Run(
      info, info.Env().Undefined(), [options](Monitor*) { return MeasureSelect(options); },
      [](Napi::Env env, SelectMeasure& measure) {
        Napi::Object seconds = Napi::Object::New(env);
        seconds.Set("floor", measure.floor);
        seconds.Set("floorReadWrite", measure.floor_read_write);
        seconds.Set("select", measure.select);
        seconds.Set("selectAndMask", measure.select_and_mask);
        seconds.Set("nthElement", measure.nth_element);
        Napi::Object object = Napi::Object::New(env);
        object.Set("seconds", seconds);
        object.Set("backend", BackendName(env, ActiveBackend()));
        object.Set("threads", measure.threads);
        return object;
      });
}

// DeviceSelectMeasure MeasureSelectOn(const SelectMeasureOptions&, std::shared_ptr<const Device>)
// benchSelectThere(library: string, options: SelectBenchOptions): Promise<DeviceBenchResult>
Napi::Value BenchSelectThere(const Napi::CallbackInfo& info) {
  const std::string library = info[0].ToString().Utf8Value();
  const SelectMeasureOptions options = ParseMeasureOptions(info[1].As<Napi::Object>());
  return Task<DeviceSelectMeasure>::Run(
      info, info.Env().Undefined(),
      [library, options](Monitor*) { return MeasureSelectOn(options, Device::Open(library)); },
      [](Napi::Env env, DeviceSelectMeasure& measure) {
        Napi::Object seconds = Napi::Object::New(env);
        seconds.Set("floor", measure.floor);
        seconds.Set("floorReadWrite", measure.copy);
        seconds.Set("select", measure.select);
        seconds.Set("mask", measure.mask);
        seconds.Set("selectAndMask", measure.select_and_mask);
        return seconds;
      });
}

Napi::Object Init(Napi::Env /*env*/, Napi::Object exports) {
  auto add = AdderTo(exports);
  add("backend", GetBackend);
  add("backends", GetBackends);
  add("createCancel", CreateCancel);
  add("select", SelectAsync);
  add("applySelection", ApplySelection);
  add("packMasks", PackMasks);
  add("pruneFiles", PruneFilesAsync);
  add("countZeros", CountZerosAsync);
  add("fillNormal", FillNormalSync);
  add("returnFreedMemory", ReturnFreedMemorySync);
  add("benchSelect", BenchSelect);
  add("benchSelectThere", BenchSelectThere);
  AddOptimizer(exports);
  AddPacking(exports);
  AddDevice(exports);
  return exports;
}

NODE_API_MODULE(secateur, Init)

}  // namespace
}  // namespace secateur::binding
