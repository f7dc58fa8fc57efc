#pragma once

#include <string>
#include <string_view>

#include "model/resources.h"

namespace berth {

/// A resource or operation as the JSON text that the store keeps, and back. A field that a document lacks
/// keeps its default, one that we do not know is passed over: older and newer documents both read. T is one
/// of the types named in documents.cpp. from_document throws Error(internal) when the text is no document at
/// all.
template <class T>
std::string to_document(const T& value);
template <class T>
T from_document(std::string_view document);

}  // namespace berth
