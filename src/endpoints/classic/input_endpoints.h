#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "api/classic/documents.h"
#include "api/classic/requests.h"
#include "endpoints/classic/mapping.h"

/// Input endpoints: public ports of a cloud service that lead to a role.
namespace berth::classic {

/// The endpoint as the region keeps it: who may come in is what its access rules leave, in the order of their
/// numbers. Without a rule everyone may; with rules that only deny, everyone else. Throws invalid naming the
/// rule that is wrong.
Endpoint model_endpoint(const InputEndpoint& endpoint);

/// What the model has no place for, to give it back; null when there is nothing of it.
nlohmann::json endpoint_words(const InputEndpoint& endpoint);
/// Facts go over words: rules that no longer say what the endpoint does are not shown.
EndpointView endpoint_view(const Endpoint& endpoint, const nlohmann::json& words);

/// Throws conflict naming the endpoint of another role than `own` that has one of the ports; `own` may be
/// null.
void check_ports(const Region& region, const CloudService& service, const Vm* own,
                 const std::vector<InputEndpoint>& wanted);

/// The endpoints as they shall be: what is new is opened, what is missing is closed, by whatever had opened
/// it.
void change_endpoints(Region& region, const CloudService& service, const Vm& vm,
                      const std::vector<InputEndpoint>& wanted);

}  // namespace berth::classic
