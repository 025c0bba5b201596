// Loading the CUDA library. It is never unloaded: drivers do not all survive that.
#include "secateur/device.h"

#include <algorithm>
#include <string>

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#include "cuda/api.h"
#include "secateur/error.h"

namespace secateur {
namespace {

#if defined(_WIN32)
void* OpenLibrary(const std::string& path, std::string& reason) {
  HMODULE module = LoadLibraryA(path.c_str());
  if (module == nullptr) reason = "error " + std::to_string(GetLastError());
  return module;
}
void* FindSymbol(void* library, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}
#else
void* OpenLibrary(const std::string& path, std::string& reason) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) reason = dlerror();
  return library;
}
void* FindSymbol(void* library, const char* name) { return dlsym(library, name); }
#endif

const cuda::Api& LoadApi(const std::string& path) {
  std::string reason;
  void* library = OpenLibrary(path, reason);
  if (library == nullptr)
    throw Error("CUDA", "Expected the CUDA library to load, got \"" + reason + "\"; use the CPU");
  const auto entry = reinterpret_cast<cuda::EntryPoint>(FindSymbol(library, cuda::kEntryPoint));
  const cuda::Api* api = entry == nullptr ? nullptr : entry(cuda::kAbi);
  if (api == nullptr) {
    throw Error("CUDA",
                "Expected the CUDA library to be of this version of Secateur, got another "
                "(" +
                    path + "); build it anew");
  }
  return *api;
}

}  // namespace

std::shared_ptr<const Device> Device::Open(const std::string& library) {
  const cuda::Api& api = LoadApi(library);
  cuda::DeviceInfo info;
  const int32_t failure = api.describe(&info);
  if (failure != 0) {
    throw Error("CUDA", std::string("Expected a GPU and its driver, got \"") +
                            api.message(failure) + "\"; use the CPU");
  }
  if (info.major < 8) {
    throw Error("CUDA", std::string("Expected a GPU of compute capability 8.0 or later, got ") +
                            info.name + " with " + std::to_string(info.major) + "." +
                            std::to_string(info.minor) + "; use the CPU");
  }
  DeviceFacts facts{info.name,   info.major,   info.minor,       info.processors,
                    info.driver, info.runtime, info.total_bytes, 0};
  std::shared_ptr<Device> device(new Device(api, std::move(facts)));
  device->facts_.free_bytes = device->FreeBytes();
  return device;
}

int64_t Device::FreeBytes() const {
  int64_t bytes = 0;
  if (api_.free_bytes(&bytes) != 0) return 0;
  return limit_ > 0 ? std::min(limit_, bytes) : bytes;
}

}  // namespace secateur
