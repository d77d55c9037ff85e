"""The models by name, so that a bundle can build one again from JSON without importing what a file names."""

from recsys.models.baselines.bpr import Bpr
from recsys.models.baselines.content_based import ContentBased
from recsys.models.baselines.creator_popularity import CreatorPopularity
from recsys.models.baselines.ease import Ease
from recsys.models.baselines.ials import Ials
from recsys.models.baselines.knn import ItemKnn, UserKnn
from recsys.models.baselines.lightgbm_ranker import LightGbmRanker
from recsys.models.baselines.lightgcn import LightGcn
from recsys.models.baselines.peer import Peer
from recsys.models.baselines.popularity import Popularity
from recsys.models.baselines.random_order import RandomOrder
from recsys.models.gat_sage import GatSage
from recsys.models.hetero_sage import HeteroSage
from recsys.models.network import Network

NETWORKS: dict[str, type[Network]] = {network.name: network for network in (GatSage, HeteroSage)}
PEERS: dict[str, type[Peer]] = {
    peer.name: peer
    for peer in (
        *(Popularity, CreatorPopularity, RandomOrder, ContentBased, ItemKnn, UserKnn),
        *(Ease, Ials, Bpr, LightGcn, LightGbmRanker),
    )
}
