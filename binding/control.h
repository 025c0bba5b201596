// Cancelling and watching a call from JavaScript: `{cancel?, progress?}`.
#ifndef SECATEUR_BINDING_CONTROL_H_
#define SECATEUR_BINDING_CONTROL_H_

#include <atomic>
#include <chrono>

#include "napi_setup.h"
#include "secateur/monitor.h"

namespace secateur::binding {

// createCancel(): NativeCancel
Napi::Value CreateCancel(const Napi::CallbackInfo& info);

// Passes progress on to a JavaScript function, at most every 50 ms, from whichever thread made it.
class JsMonitor final : public Monitor {
 public:
  // `control` is undefined or the object; its cancel must come from CreateCancel.
  JsMonitor(Napi::Env env, const Napi::Value& control);
  ~JsMonitor() override;
  JsMonitor(const JsMonitor&) = delete;
  JsMonitor& operator=(const JsMonitor&) = delete;

 private:
  void OnProgress() override;

  Napi::ThreadSafeFunction progress_;
  std::atomic<int64_t> next_report_{0};  // steady clock, ns; the thread that moves it reports
};

}  // namespace secateur::binding

#endif  // SECATEUR_BINDING_CONTROL_H_
