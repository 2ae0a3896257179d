// Connected components: of voxels in a box, and of graphs whose links advance by lattice vectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dfx_homog
{
/// Clusters of a box of voxels, numbered by their first voxel in memory order.
struct BoxClusters
{
  std::vector<std::int64_t> sizes; // voxels
  std::vector<std::int64_t> first; // index of the first voxel
};

/// Clusters of voxels joined through faces inside a box (n1, n2, n3), not around it.
/// code (n1 n2 n3); conducts (256) by code; label (n1 n2 n3) gets the cluster of each voxel, -1 where none.
/// Throws std::length_error for more than 2^31 - 1 provisional clusters.
BoxClusters label_box(std::span<const std::uint8_t> code, std::span<const std::uint8_t, 256> conducts, std::size_t n1,
                      std::size_t n2, std::size_t n3, std::int32_t* label);

/// Components of a graph on nodes 0 .. n-1 whose link e leads from a_e to b_e and advances by shift_e (dim integers):
/// offset(b_e) = offset(a_e) + shift_e along the links of a spanning forest; every other link closes a path, which
/// advances by offset(a_e) + shift_e - offset(b_e), a winding vector of its component.
struct WeightedComponents
{
  std::vector<std::int64_t> label;        // (n) component, numbered by first node
  std::vector<std::int64_t> offset;       // (n dim) from the first node of the component
  std::vector<std::int64_t> winding_label; // (k) component of each winding that is not zero
  std::vector<std::int64_t> winding;      // (k dim)
};

/// Throws std::invalid_argument for links to nodes that do not exist.
WeightedComponents weighted_components(std::size_t n, std::span<const std::int64_t> a,
                                       std::span<const std::int64_t> b, std::span<const std::int64_t> shift,
                                       std::size_t dim);
} // namespace dfx_homog
