// Times by CUDA's events: from when a device has done what was queued before a body to when it has
// done what the body queued, host's work between included.
#ifndef SECATEUR_CORE_DEVICE_CLOCK_H_
#define SECATEUR_CORE_DEVICE_CLOCK_H_

#include "core/device_memory.h"

namespace secateur {

class DeviceClock {
 public:
  explicit DeviceClock(SharedQueue queue);
  ~DeviceClock();
  DeviceClock(const DeviceClock&) = delete;
  DeviceClock& operator=(const DeviceClock&) = delete;

  // Seconds; waits. The body may queue on the clock's queue, or wait for others by itself.
  template <class Body>
  double Time(const Body& body) const {
    Begin();
    body();
    return End();
  }

 private:
  void Begin() const;
  double End() const;

  SharedQueue queue_;
  cuda::Event begin_ = nullptr;
  cuda::Event end_ = nullptr;
};

}  // namespace secateur

#endif  // SECATEUR_CORE_DEVICE_CLOCK_H_
