// The one place that includes napi.h, so that its configuration is the same everywhere.
#ifndef SECATEUR_BINDING_NAPI_SETUP_H_
#define SECATEUR_BINDING_NAPI_SETUP_H_

#define NODE_ADDON_API_DISABLE_DEPRECATED
// A worker that is terminated in mid-call can't be told of failures; without this the process would
// abort.
#define NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS
#define NODE_ADDON_API_REQUIRE_BASIC_FINALIZERS
#include <napi.h>

#endif  // SECATEUR_BINDING_NAPI_SETUP_H_
