"""ecomrec's Popularity, the floor under everybody."""

from benchmarks.entrants.ecomrec_item_knn import EcomrecEntrant
from ecomrec.cf import Popularity


class PopularityEntrant(EcomrecEntrant):
    """The same list for everybody, less what the user has."""

    recommender = Popularity
