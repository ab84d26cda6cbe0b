"""Words for display names: invented lists, neutral on purpose (a name must neither flatter nor insult)."""

from __future__ import annotations

from typing import Final

_ADJECTIVES = """
agate airy alpine amber ample apricot aqua arctic ashen ashy auburn autumn azure azurite balmy basalt beaming
beige beryl blue bluish boreal brassy breezy bright briny brisk bronze buoyant calm caramel carmine celadon
ceramic chalky cheery cherry chilly choral cinder cirrus citric clay clear cloudy coastal cobalt cool copper coral
cosmic cosy cotton creamy crimson crisp crystal cumulus curly cyan dainty dappled dawn delta denim dewy dotted
downy drowsy dune dusky dusty early eastern ebony ember emerald emery estuary evening fabled fallow fawn felted
festive fine firm flannel fleecy flinty floral fluted foamy foggy foliate forest fresh frilled frosty garnet
gilded ginger glacial glassy glossy golden granite grassy green grey gusty halcyon hazy hemp hilly homely honey
icy indigo inky inland island ivory jade jasper khaki knitted lacquer lagoon lapis leafy linen lofty lowland lucid
lunar marble marbled marine maroon mauve meadow mellow mild misty monsoon moonlit mosaic mossy muted nacre nimbus
nutmeg oaken oceanic ochre onyx opal opaline orange oyster pale paper papery pastel pearly peaty pebbly pewter
pinkish plaid plaited polar powdery prairie pumice quartz quilted radiant raffia rainy reedy ribbed rippled river
rocky rose roseate rosy ruby russet rustic sable salty sandy satin scarlet sea seaside sequin serene shale shiny
sienna silken silty silver slate sleek smooth snowlit snowy soft solar sonic sparkly spiral spotted starlit starry
stellar stony striped stucco sunlit sunny sunset swift tartan tawny teal tidal timber tinted topaz tropic tufted
tundra umber upland urban vaulted velvet vernal violet vivid warm wavy waxen wicker windy winter woolly woven
zephyr zonal
"""
ADJECTIVES: Final = tuple(_ADJECTIVES.split())
"""First words, for everybody."""

_ANIMALS = """
aardvark addax agouti alpaca anchovy anoa antelope argali avocet axolotl badger barbel barbet basilisk beaver bee
bilby bison bittern bluebird bobcat bobolink bongo bonito bream brolga budgie bulbul bunting bushbaby camel canary
capybara caracal caribou carp chamois cheetah chipmunk cicada civet coati cockatoo colibri condor cougar coypu
cricket curlew darter deer dhole dikdik dipper dolphin dormouse dotterel dove dugong dunlin dunnock eagle echidna
egret eider eland elk emu ermine falcon fantail fennec ferret finch firefly flamingo flicker flounder fossa
gadwall galago gannet garganey gaur gazelle gecko gerbil giraffe glider godwit goshawk grackle grayling grebe
grouse guanaco guppy haddock halibut hamster hare harrier hawfinch hedgehog heron herring hoopoe hornbill huchen
hyrax ibex ibis iguana impala indri jacana jaguar jay jerboa junco kakapo kangaroo kestrel kinglet kiwi koala kudu
ladybird lamprey lapwing lark lemur leopard linnet lion llama loach lorikeet loris lory lynx macaw manakin manatee
mandrill markhor marlin marmot marten meerkat merlin minnow moorhen moose mouflon mullet muntjac murre muskox myna
narwhal newt nightjar nilgai numbat nuthatch nyala ocelot okapi olingo oriole oryx osprey ostrich otter ouzel
ovenbird owl panda pangolin parakeet pelican penguin perch petrel pheasant pika pike pintail pipit plaice plover
pochard pony possum potoroo puffin puma quail quetzal quokka rabbit redpoll redwing rhea robin rosella saiga
salmon seal serin serval sifaka siskin skylark snipe sparrow stilt stork sunbird swallow swan tahr tamarin tanager
tapir tarsier tench tern thrush toucan trogon trout turaco turbot turtle urial vicuna vireo wagtail wallaby walrus
warbler waxbill waxwing weaver weka wigeon wombat wren wryneck yak zander zebra zebu zorilla
"""
ANIMALS: Final = tuple(_ANIMALS.split())
"""Second words of actors: who looked."""

_PLANTS = """
acacia acanthus aconite acorn agave agrimony alfalfa alkanet almond aloe alyssum amaranth anemone angelica anise
apple arnica arum ash aspen aster aubretia avens azalea balsa balsam bamboo banksia baobab barberry barley basil
bay bayberry beech begonia bergamot betony bilberry birch bistort bluebell borage bracken bramble broom bryony
bugle burnet cactus camellia campion caper caraway cardamom cardoon carob cassia catalpa catkin catmint cedar
celosia chard chervil chestnut chia chicory chive cicely cinnamon cistus clary clematis clove clover comfrey
cornel cosmos cowslip cress crocus cumin currant cyclamen cypress daffodil dahlia daisy damson daphne daylily
deutzia dittany dogwood elder elm endive eryngo fennel fern fescue feverfew figwort fir flax foxglove freesia
fuchsia furze gardenia gentian geranium geum ginkgo ginseng gorse grape guava harebell hawkbit hawthorn hazel
heather hebe hibiscus hickory holly hornbeam hosta hyacinth hyssop iris ivy jasmine jonquil juniper kelp kerria
knapweed kumquat laburnum larch larkspur laurel lavender lemon lichen lilac lily linden lobelia lotus lovage
lucerne lungwort lupin madder magnolia mahonia mallow mango maple marram medlar melilot melissa millet mimosa mint
monarda moss mugwort mustard myrtle nigella oak oat olive orache orchid oregano osier oxlip palm pansy papaya
papyrus parsley pasque pawpaw peach pear pecan peony petunia phlox pine plane plum pomelo poplar poppy privet
protea quince quinoa rampion ramson redwood reed rhubarb rowan rue rush rye saffron sage salsify salvia sedge
sedum senna sequoia sesame skimmia sloe sorghum sorrel spelt spindle spiraea spruce squill sumac sundew tansy tea
teasel thistle thyme trefoil tulip vanilla verbena vetch viola walnut wasabi weigela wheat willow yarrow yew yucca
zinnia
"""
PLANTS: Final = tuple(_PLANTS.split())
"""Second words of subjects: whose data it is."""
