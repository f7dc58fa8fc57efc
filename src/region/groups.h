#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <vector>

#include "model/resources.h"
#include "region/operations.h"
#include "region/outcomes.h"

namespace berth {

class Disks;
class DialectDocuments;
class HostNames;
class Images;
class InertResources;
class RegionRecords;
class Switches;
class VmRemoval;

/// Resource groups.
class Groups {
 public:
  /// What stands in a group and goes with it.
  struct Contents {
    VmRemoval& vms;
    Switches& switches;
    HostNames& names;
    Disks& disks;
    Images& images;
    InertResources& inert;
    DialectDocuments& documents;
  };
  Groups(RegionRecords& records, Operations& operations, Contents contents);

  Put<ResourceGroup> put(const std::string& name, const std::string& location, const Tags& tags);
  std::vector<const ResourceGroup*> list() const;
  const ResourceGroup* find(const std::string& name) const;
  const ResourceGroup& get(const std::string& name) const;  ///< throws ResourceGroupNotFound
  /// Throws ResourceGroupNotFound, or conflict while it is being deleted.
  void check_stays(const std::string& name) const;
  /// With everything in it. Throws conflict while something in another group uses what is in this one.
  Accepted remove(const std::string& name);

  // Within a change, at start:
  /// Groups that are missing although something is in them: what they held besides is lost, but not how to
  /// reach that.
  void restore();
  void take_up_removals(Operations::Unfinished& unfinished);

 private:
  void take_up_removal(const std::string& key, const std::string& name, Operations::Unfinished& unfinished);
  void check_use_from_outside(const std::string& group) const;
  boost::asio::awaitable<void> remove_contents(std::string operation, std::string name);
  void erase(const std::string& name, std::vector<std::string>& files);

  RegionRecords& records_;
  Operations& operations_;
  Contents contents_;
};

}  // namespace berth
