"""The statistics in one place; each part explains its own choices.

    intervals      means, paired differences, shares and corpus metrics over units, each with an interval
    simultaneous   one error rate for a family: verdicts, comparisons with the best, groups that are not separated
    power          what a test set can show, and how many units a difference needs
    recipe         seeds: what holds for a recipe and not only for one model

Whether they keep what they promise is simulated in calibration/, and docs/calibration.md has the table.
"""

from luthier.intervals import MIN_NONZERO as MIN_NONZERO
from luthier.intervals import MIN_UNITS as MIN_UNITS
from luthier.intervals import Estimate as Estimate
from luthier.intervals import Floats as Floats
from luthier.intervals import Interval as Interval
from luthier.intervals import by_unit as by_unit
from luthier.intervals import ends_of as ends_of
from luthier.intervals import known as known
from luthier.intervals import mcnemar as mcnemar
from luthier.intervals import mean_of as mean_of
from luthier.intervals import paired as paired
from luthier.intervals import paired_shares as paired_shares
from luthier.intervals import percentile_interval as percentile_interval
from luthier.intervals import resampled_estimate as resampled_estimate
from luthier.intervals import resampled_sums as resampled_sums
from luthier.intervals import share_of as share_of
from luthier.intervals import t_interval as t_interval
from luthier.intervals import unit_index as unit_index
from luthier.intervals import wilson as wilson
from luthier.power import Needed as Needed
from luthier.power import detectable_difference as detectable_difference
from luthier.power import equivalence_possible as equivalence_possible
from luthier.power import examples_needed as examples_needed
from luthier.power import examples_to_be_sure as examples_to_be_sure
from luthier.power import half_width as half_width
from luthier.power import more_needed as more_needed
from luthier.power import power_of as power_of
from luthier.recipe import MIN_SEEDS as MIN_SEEDS
from luthier.recipe import Recipe as Recipe
from luthier.recipe import recipe_difference as recipe_difference
from luthier.recipe import recipe_mean as recipe_mean
from luthier.simultaneous import DRAWS as DRAWS
from luthier.simultaneous import against_the_best as against_the_best
from luthier.simultaneous import alpha_at_look as alpha_at_look
from luthier.simultaneous import close_to_the_best as close_to_the_best
from luthier.simultaneous import critical_value as critical_value
from luthier.simultaneous import joint_level as joint_level
from luthier.simultaneous import not_separated as not_separated
from luthier.simultaneous import simultaneous_level as simultaneous_level
from luthier.simultaneous import verdict as verdict
from luthier.simultaneous import verdict_levels as verdict_levels
