// What a call fails with, as text to compare.
#ifndef SECATEUR_TEST_FAILURES_H_
#define SECATEUR_TEST_FAILURES_H_

#include <string>

#include "secateur/error.h"

namespace secateur::test {

// The code of the Error that body() throws, "none" where it throws none.
template <class Body>
std::string CodeOf(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code();
  }
  return "none";
}

// The same with the tensor and the index that the error names: "CODE tensor 12".
template <class Body>
std::string CodeAndPlaceOf(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code() + " " + error.tensor() + " " + std::to_string(error.index());
  }
  return "none";
}

}  // namespace secateur::test

#endif  // SECATEUR_TEST_FAILURES_H_
