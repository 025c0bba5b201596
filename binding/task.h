// One asynchronous call: the work runs on a thread of Node's pool (and threads of its own), the
// promise settles on the JavaScript thread. Arguments are held until then, so that the memory of
// typed arrays stays.
#ifndef SECATEUR_BINDING_TASK_H_
#define SECATEUR_BINDING_TASK_H_

#include <functional>
#include <optional>
#include <utility>

#include "control.h"
#include "convert.h"
#include "napi_setup.h"

namespace secateur::binding {

template <class Result>
class Task final : public Napi::AsyncWorker {
 public:
  using Work = std::function<Result(Monitor*)>;
  using Wrap = std::function<Napi::Value(Napi::Env, Result&)>;

  // `arguments` is kept alive; `control` may be undefined (see control.h).
  static Napi::Value Run(const Napi::CallbackInfo& info, const Napi::Value& control, Work work,
                         Wrap wrap) {
    auto* task = new Task(info, control, std::move(work), std::move(wrap));
    const Napi::Promise promise = task->deferred_.Promise();
    task->Queue();
    return promise;  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): the task deletes itself
  }

 private:
  Task(const Napi::CallbackInfo& info, const Napi::Value& control, Work work, Wrap wrap)
      : Napi::AsyncWorker(info.Env(), "secateur"),
        deferred_(Napi::Promise::Deferred::New(info.Env())),
        monitor_(info.Env(), control),
        work_(std::move(work)),
        wrap_(std::move(wrap)) {
    Napi::Array arguments = Napi::Array::New(info.Env(), info.Length());
    for (uint32_t i = 0; i < info.Length(); ++i) arguments.Set(i, info[i]);
    arguments_ = Napi::Persistent(arguments.As<Napi::Object>());
  }

  void Execute() override {
    try {
      result_ = work_(&monitor_);
    } catch (const Error& error) {
      error_ = error;
      SetError(error.what());
    } catch (const std::bad_alloc&) {
      error_ = Error("INTERNAL", "Out of memory");
      SetError("Out of memory");
    }
  }

  void OnOK() override { deferred_.Resolve(wrap_(Env(), *result_)); }

  void OnError(const Napi::Error& error) override {
    deferred_.Reject(error_ ? ToJsError(Env(), *error_).Value() : error.Value());
  }

  Napi::Promise::Deferred deferred_;
  Napi::ObjectReference arguments_;
  JsMonitor monitor_;
  Work work_;
  Wrap wrap_;
  std::optional<Result> result_;
  std::optional<Error> error_;
};

}  // namespace secateur::binding

#endif  // SECATEUR_BINDING_TASK_H_
