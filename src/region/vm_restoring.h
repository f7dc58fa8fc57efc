#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <stop_token>
#include <string>

#include "base/secret.h"
#include "hypervisor/driver.h"
#include "images/gallery.h"
#include "images/templates.h"
#include "model/catalog.h"
#include "model/resources.h"
#include "region/outcomes.h"
#include "region/signal.h"
#include "region/threads.h"

namespace berth {

class Images;
class Operations;
class RegionRecords;
class VmRecords;

/// Machines that do not boot: they go on where one of their image was frozen, and are told who they are
/// (docs/instant.md).
class VmRestoring {
 public:
  VmRestoring(RegionRecords& records, Operations& operations, VmRecords& vms, Images& images, Driver& driver,
              Threads threads);

  /// A machine that is to be: its specification, and the size of its temporary disk.
  struct Wanted {
    MachineSpec spec;
    unsigned temporary_mib = 0;
  };
  /// What a machine begins with.
  struct Beginning {
    std::optional<MachineTemplate> from;
    std::string why_not;  ///< a clause for people when it boots: "its image is one of your own"
  };
  /// The template for such a machine; made first where there is none, once for all that ask for it. Never
  /// throws for want of a template, since the machine boots then; only when the VM is being deleted.
  boost::asio::awaitable<Beginning> prepare(std::string operation, Ref vm, std::string id, Wanted wanted,
                                            ImageFiles image);

  /// Tells a machine that was just restored who it is, and returns once it is that. `grow`: its disk is larger
  /// than the template's. Throws Error(unavailable).
  boost::asio::awaitable<void> introduce(std::string operation, Ref vm, std::string id, Secret password,
                                         bool grow);

  /// Has Docker answer over TLS at once in a machine that was restored by this process: what its Docker
  /// extension, which the agent comes to later, will find done. Does nothing for other extensions and
  /// machines. Never throws: the extension does it all itself.
  void hand_over(const std::string& vm_id, const Extension& extension, const Secret& protected_settings);
  /// The same of an extension that is removed before its agent has come to it: the port is closed again.
  void take_back(const std::string& vm_id);

  /// Makes the template, and before it the image, that machines of that size would go on from, unless it is
  /// there. Throws Error: not_found; conflict when its machines boot.
  Accepted warm(const std::string& image, const VmSize& size);
  /// "none", "making" or "ready": whether an image has a template for any size.
  std::string_view template_of(const GalleryImage& image) const;

  /// Ends and removes the machines that an earlier process wanted to freeze.
  boost::asio::awaitable<void> sweep();
  boost::asio::awaitable<void> stop();  ///< the same of this process's

 private:
  boost::asio::awaitable<void> warm_up(std::string operation, std::string image, VmSize size);
  /// `wanted_still` is asked while it waits: what it throws ends the waiting, not the making.
  boost::asio::awaitable<MachineTemplate> find_or_make(std::string operation, Wanted wanted, ImageFiles image,
                                                       std::string layout,
                                                       std::function<void()> wanted_still);
  using Key = std::pair<std::filesystem::path, std::string>;  ///< an image's folder, and a layout
  boost::asio::awaitable<void> make_and_keep(Key key, Wanted wanted, ImageFiles image);
  boost::asio::awaitable<void> make(Wanted wanted, const ImageFiles& image, const MachineTemplate& files);
  boost::asio::awaitable<void> remove(std::string id);
  boost::asio::awaitable<std::string> layout_of(const Wanted& wanted);
  boost::asio::awaitable<void> talk(std::string id, Secret line, std::chrono::milliseconds limit);
  void tell_front(const std::string& vm_id, const nlohmann::json& front);
  Secret identity_of(const Vm& vm, const Secret& password, bool grow) const;

  RegionRecords& records_;
  Operations& operations_;
  VmRecords& vms_;
  Images& images_;
  Driver& driver_;
  Threads threads_;
  Templates templates_;
  std::map<Key, std::shared_ptr<Signal>> making_;
  /// Why no template was made, and how long that is believed.
  std::map<Key, std::pair<std::string, std::chrono::steady_clock::time_point>> failed_;
  std::stop_source ending_;
  std::set<std::string> machines_;  ///< that are to be frozen
  /// By VM id: restored, and until when it listens.
  std::map<std::string, std::chrono::steady_clock::time_point> listening_;
};

}  // namespace berth
