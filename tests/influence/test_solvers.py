import pytest
import torch

from recbole_unlearn.influence.solvers import conjugate_gradient, shifted_conjugate_gradient, solve_blocks


def system(dims=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(dims, dims, generator=generator, dtype=torch.float64)
    return root @ root.T / dims + 0.1 * torch.eye(dims, dtype=torch.float64), torch.randn(
        dims, generator=generator, dtype=torch.float64
    )


def test_conjugate_gradient_solves():
    matrix, rhs = system()
    found = conjugate_gradient(lambda v: matrix @ v, rhs, tolerance=1e-10)
    assert found.converged
    assert torch.allclose(found.solution, torch.linalg.solve(matrix, rhs), rtol=1e-7)
    assert found.residual == pytest.approx(float((matrix @ found.solution - rhs).norm() / rhs.norm()), abs=1e-9)


def test_negative_curvature_stops_and_is_said():
    matrix = torch.diag(torch.tensor([2.0, 1.0, -3.0], dtype=torch.float64))
    found = conjugate_gradient(lambda v: matrix @ v, torch.ones(3, dtype=torch.float64), 1e-8)
    assert not found.converged
    assert "negative curvature" in found.note
    descends = float(found.solution @ torch.ones(3, dtype=torch.float64))
    assert descends > 0
    assert found.residual == pytest.approx(float((matrix @ found.solution - 1).norm() / 3**0.5))


def test_negative_curvature_at_once_gives_the_right_side():
    matrix, rhs = torch.diag(torch.tensor([-1.0, -4.0], dtype=torch.float64)), torch.tensor([1.0, -2.0]).double()
    assert torch.equal(conjugate_gradient(lambda v: matrix @ v, rhs).solution, rhs)


def test_a_ridge_that_rounding_loses_is_damped_and_said():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2, 60, 128, generator=generator)
    blocks = (rows.mT @ rows).double()
    blocks[1] = torch.eye(128)
    blocks.diagonal(dim1=-2, dim2=-1).add_(1e-6)
    assert float(torch.linalg.eigvalsh(blocks[0])[0]) < 0  # float32 lost the ridge
    rhs = torch.ones(2, 128, dtype=torch.float64)
    found = solve_blocks(blocks, rhs)
    mean = float(blocks[0].diagonal().mean())
    assert found.damping == pytest.approx(1e-6 * mean)
    damped = blocks[0] + found.damping * torch.eye(128, dtype=torch.float64)
    assert torch.allclose(damped @ found.solution[0], rhs[0], atol=1e-6)
    assert torch.allclose(found.solution[1], rhs[1] / (1 + 1e-6), rtol=1e-12)  # the sound block keeps its own solution
    assert solve_blocks(blocks[1:], rhs[1:]).damping == 0.0


def test_blocks_that_are_damped_together_have_each_its_own_scale():
    """A singular block is damped by a millionth of its own mean diagonal, not of another block's."""
    ones = torch.ones(4, 4, dtype=torch.float64)
    sick = torch.stack([scale * (ones - 1e-7 * torch.eye(4, dtype=torch.float64)) for scale in (1.0, 1000.0)])
    rhs = torch.ones(2, 4, dtype=torch.float64)
    found = solve_blocks(sick, rhs)
    means = sick.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    assert found.damping == pytest.approx(1e-6 * float(means[1]))  # the largest
    for block, mean, right, solution in zip(sick, means, rhs, found.solution, strict=True):
        damped = block + 1e-6 * mean * torch.eye(4, dtype=torch.float64)
        assert torch.allclose(solution, torch.linalg.solve(damped, right), rtol=1e-6)


def test_a_block_far_from_positive_definite_is_refused():
    """No damping beyond the mean diagonal: it would change the system to another one."""
    far = torch.diag(torch.tensor([3.0, -1.5], dtype=torch.float64)).unsqueeze(0)  # the mean of the diagonal is .75
    with pytest.raises(torch.linalg.LinAlgError):
        solve_blocks(far, torch.ones(1, 2, dtype=torch.float64))
    near = torch.diag(torch.tensor([3.0, -0.5], dtype=torch.float64)).unsqueeze(0)  # the mean is 1.25
    assert solve_blocks(near, torch.ones(1, 2, dtype=torch.float64)).damping == pytest.approx(1.25)


def test_too_few_products_are_said():
    matrix, rhs = system()
    found = conjugate_gradient(lambda v: matrix @ v, rhs, 1e-12, max_steps=3)
    assert not found.converged
    assert found.steps == 3
    assert found.residual > 1e-12
    assert "not enough" in found.note


def test_a_zero_right_hand_side_is_solved_by_zero():
    matrix, rhs = system()
    assert conjugate_gradient(lambda v: matrix @ v, rhs * 0).converged
    assert shifted_conjugate_gradient(lambda v: matrix @ v, rhs * 0, [1.0, 2.0])[1].converged


def test_shifted_systems_are_each_solved_with_the_products_of_one():
    matrix, rhs = system()
    products = []

    def product(vector):
        products.append(1)
        return matrix @ vector

    shifts = [0.05, 0.5, 5.0, 50.0]
    found = shifted_conjugate_gradient(product, rhs, shifts, tolerance=1e-9)
    identity = torch.eye(30, dtype=torch.float64)
    for solution, shift in zip(found, shifts, strict=True):
        shifted = matrix + shift * identity
        assert solution.converged
        assert torch.allclose(solution.solution, torch.linalg.solve(shifted, rhs), rtol=1e-6)
        true = float((shifted @ solution.solution - rhs).norm() / rhs.norm())
        assert true == pytest.approx(solution.residual, abs=1e-9)
    assert len(products) == max(solution.steps for solution in found)
    assert [solution.steps for solution in found] == sorted((s.steps for s in found), reverse=True)


def test_blocks_are_solved_each():
    blocks = torch.stack([system(5, seed)[0] for seed in range(3)])
    rhs = torch.stack([system(5, seed)[1] for seed in range(3)])
    found = solve_blocks(blocks, rhs)
    assert found.converged
    assert torch.allclose(found.solution, torch.linalg.solve(blocks, rhs), rtol=1e-9)


def test_nothing_to_solve_is_solved():
    found = conjugate_gradient(lambda v: 2 * v, torch.zeros(3, dtype=torch.float64), 1e-9, 5)
    assert (found.residual, found.steps, found.converged) == (0.0, 0, True)
    assert torch.equal(found.solution, torch.zeros(3, dtype=torch.float64))
