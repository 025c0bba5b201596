// The GPU that tests run on: the one of SECATEUR_CUDA_LIBRARY, or else the emulated one.
#ifndef SECATEUR_TEST_DEVICE_H_
#define SECATEUR_TEST_DEVICE_H_

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "secateur/device.h"
#include "secateur/error.h"
#include "test.h"

namespace secateur::test {

inline std::string DeviceLibrary() {
  const char* given = std::getenv("SECATEUR_CUDA_LIBRARY");
#if defined(SECATEUR_CUDA_EMULATED_PATH)
  if (given == nullptr || *given == '\0') return SECATEUR_CUDA_EMULATED_PATH;
#endif
  return given == nullptr ? "" : given;
}

inline std::shared_ptr<Device> OpenDevice() {
  return std::const_pointer_cast<Device>(Device::Open(DeviceLibrary()));
}

// Runs the tests, or fails with one sentence where there is nothing to run them on.
inline int RunDeviceTests() {
  try {
    OpenDevice();
  } catch (const Error& error) {
    std::printf("FAILED: no test was run. %s: %s\n", error.code().c_str(), error.what());
    return 1;
  }
  return RunAllTests();
}

}  // namespace secateur::test

#endif  // SECATEUR_TEST_DEVICE_H_
