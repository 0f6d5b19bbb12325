"""What is written in the drawn text images: ordinary words, and numbers as signs have them."""

import numpy as np

ENGLISH = """
a an and are at be by for from go in is it no of on or the to up we you yes not now new old our
all any ask bag bar bay bed bee big bit box bus buy cap car cat cup cut day dog dry ear eat egg
end eye fan far fit fly fog fox fun gas hat hot ice ink jam job key lab law leg lid log low map
mix mud net nut oak oil owl pan pay pen pie pig pin pit pop pot raw red row sea sky sun tap tax
tea ten tie toy van wax way web wet win zip area army away baby back bank barn bath beam bear
bell best bike bird blue boat book boot bowl bread brick bridge broad brown brush cable cafe
cake candle careful castle centre chair cheese church circle city clean clock close cloud
coffee cold cook copper corner cotton danger dinner doctor door down dream drink drive early
east empty engine enter exit factory farm field fire fish floor flower forest fresh friend
fruit garage garden gate glass gold good grand green guide hair hall happy harbour height hello
help hill home honey hotel house island jacket journey keep kitchen ladder lake lane large
laundry left lemon level library light limit local lunch machine main market meadow milk mill
mind mirror money moon morning mountain museum music narrow near night noise north notice
number ocean offer office open orange order oven paper park parking people pepper pharmacy
photo phone piano picnic plain planet police pool post price private public quality queen quick
quiet radio rail rain ready rent repair rescue rest right river road room round royal sale salt
school season seat second service ship shop shore shut silver sister slow small smoke snow soap
south special speed spring square stairs station steam stone stop storm street sugar summer
sunny supper table take taxi theatre ticket tiger time toilet tower town track traffic train
travel tree tunnel turn under union upper valley value village visit wagon wait walk wall warm
warning watch water wave welcome west white wild window winter wood work world yard year yellow
young zebra zone accommodation administration anniversary architecture championship
communication construction department development entertainment environment extraordinary
headquarters independent information instructions international laboratory maintenance
manufacturing neighbourhood observatory organisation photography professional refreshments
registration restaurant specialist supermarket telecommunications transportation underground
university
"""
WORDS = tuple(ENGLISH.split())


def draw_word(rng: np.random.Generator) -> str:
    """A word, as it is, capitalised or in capitals; one time in six a number, price or time."""
    if rng.random() < 1 / 6:
        return _number(rng)
    word = str(rng.choice(WORDS))
    return (word, word.capitalize(), word.upper())[int(rng.integers(3))]


def _number(rng: np.random.Generator) -> str:
    a, b = int(rng.integers(1, 100)), int(rng.integers(100))
    kinds = (
        f"{a}",
        f"{a * 100 + b}",
        f"${a}.{b:02d}",
        f"{a}%",
        f"{a % 24}:{b % 60:02d}",
        f"No.{a}",
        f"{chr(65 + a % 26)}{b}",
    )
    return kinds[int(rng.integers(len(kinds)))]
