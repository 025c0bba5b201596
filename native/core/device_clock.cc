#include "core/device_clock.h"

#include <utility>

namespace secateur {

DeviceClock::DeviceClock(SharedQueue queue) : queue_(std::move(queue)) {
  queue_->Check(queue_->api().create_event(&begin_), "an event");
  queue_->Check(queue_->api().create_event(&end_), "an event");
}

DeviceClock::~DeviceClock() {
  queue_->api().destroy_event(begin_);
  queue_->api().destroy_event(end_);
}

// Waits, so that the first event stands at the body's begin and not behind older work.
void DeviceClock::Begin() const {
  queue_->Wait();
  queue_->Check(queue_->api().record(begin_, queue_->stream()), "an event");
  queue_->Check(queue_->api().wait_event(begin_), "an event");
}

double DeviceClock::End() const {
  queue_->Check(queue_->api().record(end_, queue_->stream()), "an event");
  queue_->Wait();
  double seconds = 0;
  queue_->Check(queue_->api().elapsed(begin_, end_, &seconds), "an event");
  return seconds;
}

}  // namespace secateur
