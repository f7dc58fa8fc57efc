#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "api/arm/evaluator.h"
#include "api/arm/template.h"

/// Which resources a template makes, and in which order. For template.cpp.
namespace berth::arm {

/// Where a resource is written, and where its expressions stand.
struct PlanItem {
  const nlohmann::json* source;  ///< in the template, once for all copies
  CopyLoops loops;
  std::string parent_id;
};

struct ResourcePlan {
  std::vector<PlannedResource> resources;
  std::vector<PlanItem> items;  ///< one for each of them
};

/// Expands copies and children, leaves out what a condition leaves out, and finds what waits for what. The
/// names are put into the scope for reference(). `resources` lives as long as the plan. Throws Error(invalid,
/// "InvalidTemplate").
ResourcePlan plan_resources(TemplateScope& scope, const nlohmann::json& resources);

}  // namespace berth::arm
