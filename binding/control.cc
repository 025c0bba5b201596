#include "control.h"

#include <array>

namespace secateur::binding {
namespace {

constexpr napi_type_tag kCancelTag = {0x7a1c5ec47e0a4d0b, 0x9d2f6b0c1e8a4f37};

int64_t Now() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

CancelFlag FlagOf(const Napi::Value& control) {
  if (control.IsObject()) {
    const Napi::Value cancel = control.As<Napi::Object>().Get("cancel");
    if (cancel.IsObject()) {
      const Napi::Value flag = cancel.As<Napi::Object>().Get("flag");
      if (!flag.IsExternal() || !flag.As<Napi::Object>().CheckTypeTag(&kCancelTag)) {
        throw Napi::TypeError::New(control.Env(), "Expected cancel to come from createCancel");
      }
      return *flag.As<Napi::External<CancelFlag>>().Data();
    }
  }
  return std::make_shared<std::atomic<bool>>(false);
}

const char* PhaseName(Phase phase) {
  constexpr std::array<const char*, 4> kNames = {"select", "write", "check", "count"};
  return kNames[static_cast<size_t>(phase)];
}

}  // namespace

Napi::Value CreateCancel(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto flag = std::make_shared<std::atomic<bool>>(false);
  auto external = Napi::External<CancelFlag>::New(
      env, new CancelFlag(flag), [](Napi::BasicEnv, CancelFlag* owned) { delete owned; });
  external.As<Napi::Object>().TypeTag(&kCancelTag);
  Napi::Object cancel = Napi::Object::New(env);
  cancel.Set("flag", external);
  cancel.Set("cancel",
             Napi::Function::New(
                 env, [flag](const Napi::CallbackInfo&) { flag->store(true); }, "cancel"));
  return cancel;
}

JsMonitor::JsMonitor(Napi::Env env, const Napi::Value& control) : Monitor(FlagOf(control)) {
  if (!control.IsObject()) return;
  const Napi::Value progress = control.As<Napi::Object>().Get("progress");
  if (!progress.IsFunction()) return;
  progress_ =
      Napi::ThreadSafeFunction::New(env, progress.As<Napi::Function>(), "secateur progress", 0, 1);
  progress_.Unref(env);
}

JsMonitor::~JsMonitor() {
  if (progress_) progress_.Release();
}

void JsMonitor::OnProgress() {
  constexpr int64_t kInterval = 50'000'000;
  if (!progress_) return;
  const int64_t now = Now();
  int64_t due = next_report_.load(std::memory_order_relaxed);
  if (now < due || !next_report_.compare_exchange_strong(due, now + kInterval)) return;
  struct Report {
    Phase phase;
    int64_t done;
    int64_t total;
  };
  auto* report = new Report{phase(), done(), total()};
  const auto call = [](Napi::Env env, Napi::Function function, Report* data) {
    const Report made = *data;
    delete data;
    function.Call({Napi::String::New(env, PhaseName(made.phase)),
                   Napi::Number::New(env, static_cast<double>(made.done)),
                   Napi::Number::New(env, static_cast<double>(made.total))});
  };
  if (progress_.NonBlockingCall(report, call) != napi_ok) delete report;
}

}  // namespace secateur::binding
