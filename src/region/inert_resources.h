#pragma once

#include <string>
#include <vector>

#include "model/resources.h"
#include "region/outcomes.h"

namespace berth {

class Images;
class RegionRecords;

/// Resources that have no effect here: kept, and given back.
class InertResources {
 public:
  InertResources(RegionRecords& records, Images& images) : records_(records), images_(images) {}

  Put<InertResource> put(InertResource wanted);
  void remove(const std::string& type, const Ref& ref);  ///< of a managed image: the image, too
  /// Empty type, empty group: of all.
  std::vector<const InertResource*> list(const std::string& type, const std::string& group = {}) const;
  const InertResource* find(const std::string& type, const Ref& ref) const;
  void erase_group(const std::string& group);  ///< within a change: all of it

 private:
  void erase(const std::string& key);

  RegionRecords& records_;
  Images& images_;
};

}  // namespace berth
