"""Regular expressions for phrases that choose, negate or hedge an option, applied to text without markup."""

import re

BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
ANSWER_TAG = re.compile(r"<answer>", re.IGNORECASE)
NO_MEANING = re.compile(
    r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe0f\ufeff]|[∴\u2611\u2705\u2714\u2b50\U0001f300-\U0001faff]"
    r"|(?<![^\W_])_(?=[^\W_])|(?<=[^\W_])_(?![^\W_])|\[(?=\[)|(?<=\])\]|\\(?:text|textbf|textrm|mathrm|mathbf|mathbb|mathsf|bf|rm|displaystyle|left|right)\b\s*|\\[()\[\]]|[{}$*`\"“”«»]"
    r"|__|(?-i:</?(?:answer|b|i|strong|em|u)>)|\\[,;! ]",
    re.IGNORECASE,
)
SPACES = re.compile(r"\s+")
MARKS = str.maketrans("’‘。", "''.")
CJK_EDGE = re.compile(
    r"(?<=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])(?=[A-Za-z0-9(\[])|(?<=[A-Za-z0-9])(?=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])"
)
"""Boundary between CJK text and a letter or digit, where no space is written."""

LINK = (
    r"(?:\s*(?::|=|→|->|⇒)|'s(?!\w)|\s+[-–—](?=\s)|\s+(?:is|are|was|be|being|would be|should be|must be|has to be"
    r"|will be|seems to be|appears to be|remains|equals)(?!\w))"
)
FILLER = (
    r"(?:[\s,:>]|[-–—](?=\s)|(?:I|we)\s+(?:think|believe|guess|say|would say|suspect)\b"
    r"|(?:that|it|it's|is|either|both|the|option|options|choice|choices|answer|letter|indeed|therefore|thus|hence|so|clearly|definitely|certainly|obviously"
    r"|probably|likely|most|perhaps|maybe|simply|just|actually|still|in fact|correct|final|best|right|surely|then"
    r"|number|case|with|for|be|to|as follows)(?!\w))*"
)
NOUN = (
    r"(?<!\w)(?:ans|answers?|option|choice|solution|response|selection|conclusion|letter|final verdict"
    r"|(?:correct|right|best)\s+(?:one|statement|pick)|(?:correct|final)(?=\s*:))(?!\w)"
)
GAP = r"(?:,?\s+(?!(?:is|are|not|never|cannot|neither|nor|\w+n't)\b)(?:[a-z']+|\([^()\n]{0,30}\))){0,8}?,?"
_ELSEWHERE = (
    r"(?:(?<!\w)(?:antwort|lösung|réponse|respuesta|resposta|risposta|soluzione|ответ|odpowiedź|cevap|jawaban)"
    r"(?:\s+(?:richtige|korrekte|correcta|correcte|correta|corretta|final|finale))?(?!\w)"
    r"|(?:答案|正解|答え|答|정답|답)(?:应该|應該|应|應)?)"
    r"\s*(?::|=|[-–—](?=\s)|(?:ist|est|es|é|è|adalah)(?!\w)|是|为|為|は|은|는|이)"
    r"|(?<![不别没没非])(?:故选|应选|應選|故選|我选|我選)"
)
""""The answer is" in other languages; the label must follow at once."""
_ELSEWHERE_FILLER = r"(?:[\s,:>]|(?:la|le|el|die|den|option|opción|opção|opzione|вариант)(?=\s)|选项|選項)*"
CUES = (
    # (rank, pattern before the label); a higher rank wins over a lower one anywhere in the text
    (3, re.compile(rf"\bnot\s+(?:option\s+)?[(\[]?\w[)\]]?,?\s+(?:but|rather)(?!\w){FILLER}", re.IGNORECASE)),
    (3, re.compile(rf"(?:⟦|####|(?<!\w)ans\.|{NOUN}{GAP}{LINK}){FILLER}", re.IGNORECASE)),
    (3, re.compile(rf"(?:{_ELSEWHERE}){_ELSEWHERE_FILLER}", re.IGNORECASE)),
    (
        2,
        re.compile(
            r"(?<!\w)(?:choose|chose|choosing|pick|picked|picking|select|selected|selecting|go(?:ing)? with|went with"
            r"|opt(?:ing)? for|vote for|settle on|settled on|commit to|stick with|conclude|say|guess|bet on|marks?"
            r"|it's|it is|that's|must be|has to be|would be|should be|i'd say|therefore|hence|thus|⇒|→)(?!\w)"
            rf"{FILLER}",
            re.IGNORECASE,
        ),
    ),
)
DENIED = re.compile(
    r"(?:\b(?:not|never|n't|cannot|neither|nor|if|whether|unless|suppose|supposing|assume|assuming|why|were|had"
    r"|can't|don't|won't|wouldn't|shouldn't|couldn't|doesn't|isn't|rather than|instead of|without)\b"
    r"|\b(?:wrong|incorrect|false|bad|worst|tempting|invalid|eliminated)\b)(?:\s+[a-z']+){0,3}\s*$",
    re.IGNORECASE,
)
CLAUSE = re.compile(r"[.!?;\n]|\b(?:so|but|therefore|thus|hence|because)\b", re.IGNORECASE)
WRONG_NOUN = re.compile(r"\b(?:wrong|incorrect|false|invalid)\s+$", re.IGNORECASE)
OR = re.compile(
    r"\s*(?:,?\s*(?:and/or|and|or|oder|und|ou|et|или|и|或者|或|和|、|\||/|&|\+)|,)\s*(?:also\s+|maybe\s+|perhaps\s+|possibly\s+|even\s+)?"
    r"(?:(?:the\s+)?(?:option|choice|answer)\s+)?",
    re.IGNORECASE,
)
BETWEEN = re.compile(r"[\s.,;]*(?:or|and|and/or|/|,)[\s.,;]*(?:the\s+)?", re.IGNORECASE)
AFTERTHOUGHT = re.compile(
    r"[\s.,;)\]?!(\-–—]*(?:or|alternatively|otherwise|but|although|though|possibly|maybe|perhaps|however)\b"
    r"(?:\s+(?:it|that|this|could|might|may|can|also|even|maybe|perhaps|possibly|the|answer|be|is|option|choice|well)"
    r"(?:'s)?(?!\w))*[\s,]*",
    re.IGNORECASE,
)
PREDICATE = re.compile(
    r"\s+(?:is|isn't|are|aren't|was|were|can|can't|cannot|does|doesn't|do|don't|would|wouldn't|will|won't|could|couldn't"
    r"|should|must|has|have|had|says|states|seems|looks|fails|refers|describes|contradicts|only|sounds|might|may|being"
    r"|represents|relates|gives|means)\b",
    re.IGNORECASE,
)
PRAISED = re.compile(
    r"(?:\s*[(:,\-–][^()\n]{1,80}[),\-–])?\s+(?:is|are|must be|seems|would be|has to be|should be|was|remains|looks)\s+"
    r"(?:(?:the|clearly|definitely|therefore|thus|indeed|most|likely|probably|only|certainly|obviously|also|both|hence"
    r"|a|actually|single|one)\s+)*"
    r"(?:correct|right|best|answer|my answer|my choice|my final answer|accurate|appropriate|true)\b",
    re.IGNORECASE,
)
ALSO = re.compile(
    r"\s+(?:is|are|could|might|may|would|can|seems)\s+(?:(?:also|equally|be|just|as|well|another|a|an)\s+)+"
    r"(?:correct|right|possible|valid|plausible|true|acceptable|good|answer|option)\b",
    re.IGNORECASE,
)
BEFORE_SUBJECT = re.compile(
    r"(?:^|[^\w\s]|\b(?:option|options|choice|choices|answer|answers|response|letter|so|that|think|believe|thus|hence"
    r"|therefore|only|and|or|both|because|but|conclude|clearly|say|guess|then|actually|is|suggests|means|case|yes|indeed"
    r"|just|either|since|as|while|although|though|obviously|definitely|find|know|see|hereby))\s*$",
    re.IGNORECASE,
)
TURN = re.compile(
    r"\b(?:wait|actually|instead|correction|sorry|scratch that|on second thought|i was wrong|i made a mistake|rather"
    r"|no)\b[^\n]{0,80}$",
    re.IGNORECASE,
)
GOES_ON = re.compile(
    r"\s*(?:$|[.,;:!?)\]>}'⟧\n/|&+=→⇒(\-–—]|\s(?:because|since|as|due|for|which|with|and|or|but|not|is|isn't|that|based"
    r"|given|from|so|while|rather|instead|only|in|by|if|where|whereas|\()(?!\w))",
    re.IGNORECASE,
)
BARE = re.compile(r"(?:option|choice|answer)?\s*[([<]?\s*(\w)\s*[)\]>]?\s*[.:;!)]?\s*", re.IGNORECASE)
LABELLED = re.compile(r"(?:option|choice|answer)?\s*[([]?\s*(\w)\s*(?:[)\].:]+|\s[-–—])\s*(\S.*)", re.IGNORECASE)
REASONED = re.compile(
    r"[([]?\s*(\w)\s*[)\]]?,?\s+(?:because|since|as|due to|for|rather than|instead of|(?:and )?not)\b.*"
)
CONCLUDED = re.compile(
    r"(?:so|thus|therefore|hence|based on|given|in conclusion|overall|ultimately|finally|in the end)\b.*[,:]\s*"
    r"[([]?(\w)[)\]]?[.!]?",
    re.IGNORECASE,
)
ENDS_IN_IT = re.compile(
    r"(?:.*\b(?:answer|option|choice|correct|question)\b.*\bis|(?:.*[.!?]\s+)?(?:answer|choose|option|so|thus|hence|therefore|definitely)"
    r"|.*\bleav(?:es|ing)(?:\s+(?:us|me|only|just|with|option|choice))*)"
    r"\s+[([]?(\w)[)\]]?[.!]?",
    re.IGNORECASE,
)
BESIDE = re.compile(r"[\s)\]:(\-–—,.]*")
LINE_ENDS = re.compile(r"[\s.!)]*(?:\n|⟧|$)")
LISTED = re.compile(r"^[\s>\-•]*[([]?(\w)[)\].:]+\s*\S", re.MULTILINE)
