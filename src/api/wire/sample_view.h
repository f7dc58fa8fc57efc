#pragma once

#include "model/guest.h"

namespace berth::wire {

/// The VM of the fixtures: one extension with settings of both kinds, one being removed. For tests.
inline GuestView sample_view() {
  GuestView view;
  view.vm_id = "0123456789ab";
  view.incarnation = 2;
  view.container_id = "c6d5526c-5ac2-4200-b6e2-56f2b70c5ab2";
  view.deployment_id = "9f2d3a1e-1111-4222-8333-444455556666";
  view.role = "web1";
  view.plugins = {{.handler = "Contoso.Test.ShellHandler",
                   .version = "1.0.0",
                   .state = "enabled",
                   .sequence = 3,
                   .settings = R"({"docker": {"port": "4243"}, "note": "a < b & \"c\""})",
                   .protected_settings = "MIIB5AYJKoZI"},
                  {.handler = "Contoso.Other",
                   .version = "2.1.0",
                   .state = "uninstall",
                   .sequence = 0,
                   .settings = "",
                   .protected_settings = ""}};
  view.agent_location = "westus";
  view.subscription = "11111111-2222-3333-4444-555555555555";
  view.group = "hosts";
  view.uuid = "0b51ff34-0000-4000-8000-1234567890ab";
  view.size = "Standard_B2s";
  view.offer = "debian-12";
  view.publisher = "Debian";
  view.sku = "12";
  view.version = "0.20250101.1";
  view.admin_user = "ops";
  view.tags = "owner:me;stage:test";
  view.nics = {{.mac = "000D3A123456",
                .address = "10.0.0.4",
                .public_address = "127.0.5.1",
                .subnet = "10.0.0.0",
                .prefix = 24}};
  return view;
}

inline constexpr const char* sample_thumbprint = "1B8D7A1D8046706A5D4AD7C1AF59D3DD2D985D60";

}  // namespace berth::wire
