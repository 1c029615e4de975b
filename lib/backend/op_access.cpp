#include "backend/op_access.h"

#include <fmt/format.h>

namespace secondsource {
namespace {

template <typename T>
void append(std::vector<T>& list, const std::optional<T>& item) {
  if (item) list.push_back(*item);
}

struct AccessVisitor {
  OpAccess operator()(const Embed& op) const { return {{}, {op.out}, {op.table}}; }
  OpAccess operator()(const RmsNorm& op) const {
    OpAccess access{{op.x}, {}, {op.weight}};
    append(access.reads, op.add);
    append(access.reads, op.residual);
    append(access.weights, op.bias);
    append(access.writes, op.sum_out);
    access.writes.push_back(op.out);
    return access;
  }
  OpAccess operator()(const Matmul& op) const {
    OpAccess access{{op.x}, {op.out}, {op.weight}};
    append(access.reads, op.aux);
    append(access.weights, op.bias);
    return access;
  }
  OpAccess operator()(const RopeAppend& op) const {
    OpAccess access{{op.qkv}, {op.q_out}, {}};
    append(access.reads, op.k);
    append(access.reads, op.v);
    append(access.weights, op.q_norm);
    append(access.weights, op.k_norm);
    return access;
  }
  OpAccess operator()(const LatentAppend& op) const { return {{op.latent, op.q}, {op.q_out}, {op.norm}}; }
  OpAccess operator()(const HeadMatmul& op) const { return {{op.x}, {op.out}, {op.weights}}; }
  OpAccess operator()(const Attention& op) const {
    OpAccess access{{op.q}, {op.out}, {}};
    append(access.weights, op.sinks);
    return access;
  }
  OpAccess operator()(const SelectRows& op) const { return {{op.x}, {op.out}, {}}; }
  OpAccess operator()(const SelectColumns& op) const {
    OpAccess access{{op.x}, {op.out}, {}};
    append(access.reads, op.expert);
    return access;
  }
  OpAccess operator()(const Sample& op) const { return {{op.logits}, {}, {}}; }
  OpAccess operator()(const Route& op) const {
    OpAccess access{{op.x}, {op.expert, op.weight}, {op.gate}};
    append(access.weights, op.bias);
    append(access.weights, op.choice_bias);
    return access;
  }
  OpAccess operator()(const GroupedMatmul& op) const {
    OpAccess access{{op.x, op.expert}, {op.out}, {op.weights}};
    append(access.reads, op.weight);
    append(access.reads, op.aux);
    append(access.weights, op.bias);
    return access;
  }
};

}  // namespace

OpAccess op_access(const Op& op) {
  return std::visit(AccessVisitor{}, op);
}

std::string op_label(const StepGraph& graph, std::size_t index) {
  const std::string_view name = op_name(graph.ops[index]);
  if (index < graph.labels.size() && !graph.labels[index].empty()) {
    return fmt::format("{} ({})", graph.labels[index], name);
  }
  return fmt::format("operation {} ({})", index, name);
}

}  // namespace secondsource
