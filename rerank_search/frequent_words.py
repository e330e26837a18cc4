"""Words and letters that tell languages with the same script apart."""

from __future__ import annotations

from collections.abc import Mapping

FREQUENT_WORDS: Mapping[str, str] = {
    "ca": "a abans al als amb any anys aquest aquesta aquestes aquests cal com de del dels "
    "després dins durant el els en era es estan està fer fins foren fou ha han heu hi i "
    "ja l la les li llur ls mai mentre molt moltes més no nostre o on p per perquè però "
    "poden pot qual quan quant quants qui quin quina què sempre sense ser seu seus seva "
    "seves sobre són també tenir tot tots té un una va van vostre és",
    "cs": "a aby ale ani až bez by byl byla byli bylo byly být co do ho i ich jak jako je "
    "jeho jejich její jejímž jen ještě již jsem jsme jsou každý kde kdo kdy ke která "
    "které který kteří mají mezi musí má může můžete na nad nebo nebyl nebyla nelze "
    "není než o od po pod podle pokud pro proti před při se si tak také tato tento to "
    "toto tyto tím těchto u už v ve více však všechny z za zda ze či že",
    "da": "ad af aldrig alle altid anden andet andre at blev blevet blive bliver da de dem "
    "den denne deres det dette dig din disse dog du efter eks eller en end er et flere "
    "for fra få får før gennem går gør gøre ham han hans har havde have hendes her hos "
    "hun hvad hvem hvilke hvilken hvilket hvis hvor hvordan hvorfor hvorledes hvornår i "
    "ikke imod ind jeg jer jeres kaldes kan kom komme kunne lige ligger man mange med "
    "meget mellem men mens mere mest mig min mod må ned nogen noget nogle når og også "
    "om op os over på samt selv selvom siden sig sin sine skal skulle som så såsom tid "
    "til ud uden under var ved vi vil ville vores være været år",
    "de": "ab aber alle als also am an auch auf aus bei beim bin bis bist da dann darf das "
    "dass dem den denn der des die dies diese diesem diesen dieser dieses doch du durch "
    "ein eine einem einen einer eines er es für gegen gibt habe haben hat hatte hier "
    "ich ihm ihn ihr ihre im in ist ja jede kann kein keine können man mehr mein mit "
    "muss nach nicht noch nur ob oder ohne schon sehr sein seine seit sich sie sind so "
    "soll um und uns unter viel viele vom von vor wann war waren warum was welche "
    "welchem welchen welcher welches wenn wer werden wie wieder wir wird wo wurde "
    "wurden zu zum zur zwischen über",
    "en": "a about after all also am an and another any are as at be because been before "
    "being below between both but by can could did do does each few first for from "
    "further get got had has have he her here his how i if in into is it its just like "
    "made make many may more most much must my new no nor not of off on once only or "
    "other our out over own same she should since so some such than that the their them "
    "then there these they this those through to two under until up use used using very "
    "was we were what when where whether which while who whom whose why will with "
    "without would year years yes you your",
    "es": "a además ahora al algo alguna algunos ante antes aquí así año años aún cada como "
    "con contra cualquier cuando cuya cuyo cuál cuáles cuándo cuántas cuánto cuántos "
    "cómo de debe deben del desde donde dos durante dónde e el ella ello ellos en entre "
    "era eran es esa ese eso esta estaba estaban estas este esto estos está están fue "
    "fueron ha había habían hacer hasta hay hizo la las le les lo los luego mayor me "
    "menos mi mientras misma mismo mucho muy más nada ni ninguna ningún no nos nosotros "
    "nuestro nunca o otra otras otro otros para parte pero poco por porque puede pueden "
    "que quién quiénes qué se según ser si sido siempre siguiente sin sobre solo son su "
    "sus sí sólo también tan tanto tengo tiene tienen toda todas todo todos tras tu un "
    "una uno unos usted vez y ya yo él",
    "et": "aga alates ega ehk ei enne et ja juba järgi ka kas keda kelle kes kui kuid kuidas "
    "kus kõik ma me meie mida miks millal mille milline mis nad nagu neid nende nii "
    "ning ole oli olid olla oma on pole poolt pärast sa seda see selle sest siis ta te "
    "teda tema vaid vastu veel välja või võib üks üle",
    "fi": "aikana aina ei eivät eli ennen enää että he hän hänen ja jo joka jolla jonka jos "
    "jossa jota joten jotka jälkeen kaikki kanssa koska kuin kuinka kuitenkin kuka kun "
    "kuten me miksi mikä milloin minkä minä missä miten mitkä mitä moni monta muiden "
    "muita mukaan mutta muun myös ne niiden niin noin nyt ole olen oli olivat olla on "
    "onko ovat pitää se sekä sen siis siitä sillä sinä sitä tai te tämä tämän tässä "
    "tätä täytyy usein vai vain vielä voi voidaan voivat vuoden vuonna yli",
    "fr": "a ai ainsi alors année années après au aucun auquel aussi autre aux avaient avait "
    "avant avec avez avoir ce ceci cela celle celui ces cet cette ceux chaque chez "
    "comme comment d dans de depuis des deux dit doit doivent dont du déjà elle elles "
    "en encore entre est et eu faire fait furent fut il ils jamais je jusqu l la "
    "laquelle le lequel les lesquels leur leurs lors lorsque lui ma mais me mes moins "
    "mon même ne ni nos notre nous on ont ou où par parce pas pendant peu peut peuvent "
    "plus plusieurs pour pourquoi qu quand que quel quelle quelles quelques quels qui "
    "quoi rien sa sans se selon sera seront ses si son sont sous sur ta tant te "
    "toujours tous tout toute toutes très tu un une vers vos votre vous y à étaient "
    "était être",
    "gl": "a algunha ano anos antes ao aos as así até cada cando cantas canto cantos co coa "
    "coas coma como con cos da das de debe deben dende desde despois do dos e el ela "
    "eles en entre era eran estas este está están foi foron ha hai isto lle lles mais "
    "moi moitas moitos máis na nas no non nos nun nunca nunha o onde os ou outra outro "
    "para parte pero pode poden pola polas polo polos por porque que quen se segundo "
    "sempre sen ser seu seus sobre son súa súas tamén ten teñen todo todos un unha "
    "unhas uns xa á é",
    "hr": "a ako ali bi bila bili bilo bio biti da do dok ga gdje i ih ili iz ja je jer jesu "
    "još kada kako kao kod koja koje koji kojim koju koliko kroz li među može na nad "
    "nakon ne nego neki nema nije nisu njegov njih no o od on ona oni ova ovaj ovo po "
    "pod prema pri prije sa samo se smo su sve svi ta taj tako također te ti to toga u "
    "uz već za zašto zbog što",
    "hu": "a abban ahol alatt amely amelyek ami amikor annak arra az azok azt be csak de egy "
    "egyik ehhez el előtt ez ezek ezen ezt ezért fel felett ha hogy hogyan hol honnan "
    "hány illetve ilyen is itt kell kellett kevesebb ki kik között le lehet lesz lett "
    "ma meg mellett mely melyik mert mi miatt mikor milyen minden mint mit mivel miért "
    "már még nagyon nem nincs olyan pedig sem sok során szerint számára tehát több után "
    "vagy van vannak volt voltak által én és így ő ők",
    "id": "ada adalah agar akan aku anda antara apa apakah atas atau bagaimana bagi bahwa "
    "banyak belum berapa bisa bukan dalam dan dapat dari dengan di dia hanya harus ia "
    "ini itu jika juga kami kapan karena ke kepada kita lebih mana masih mengapa mereka "
    "oleh pada para saat saja sangat saya sebagai sebuah secara sedang sehingga seperti "
    "setelah siapa sudah tahun telah tersebut tetapi tidak untuk yang",
    "is": "af alla allt að aðeins ef eftir ein einn eins ekki en enn er eru eða frá fyrir "
    "fyrst hafa hafði hann hans hefur hjá hvar hvað hve hvenær hver hverju hvernig "
    "hversu hér hún með mig mjög mun má né nú og okkur sem sig sinn svo sér sín sína "
    "til um undir upp var varð vegna vera verið verður við voru yfir á ég í úr þar þau "
    "það þegar þeim þeir þess þessi þetta því þú",
    "it": "a ad ai al alla alle anche ancora che chi ci cioè col come con contro cosa cui d "
    "da dai dal dalla dalle degli dei del della delle dello di dopo dove durante e ed "
    "era erano essere fa fino fra fu furono gli ha hai hanno ho i il in io l la le lo "
    "loro ma mentre mi molto nei nel nell nella nelle no non o ogni per perché più poi "
    "prima può qual quale quali quando quante quanti quanto quella quello questa queste "
    "questi questo se senza si sia solo sono stata stato sua sul sulla suo suoi tra tu "
    "tutti tutto un una uno è",
    "lt": "ant apie ar arba bei bet bus buvo būti dar dėl iki ir iš jau jei ji jis jo jos jų "
    "kad kada kaip kas kiek kodėl kokia koks kur kuri kurie kurio kuris kurį labai mes "
    "ne nei nes nuo nėra o pagal per po prie prieš savo su tai taip tarp tačiau ten tik "
    "to turi už yra į ši šio šis",
    "lv": "ar arī bet bija bijis bijusi būs būt cik citi es gada gadā gan ir ja jau jo jābūt "
    "ka kad kas ko kur kura kuri kurš kā kāda kādi kāds kāpēc līdz mēs nav ne nevar no "
    "pa par pie pirms pret pēc sava savas savu tad tas tiek tika tikai to tomēr tos tā "
    "un uz vai var viena viens visi viņa viņi viņš vēl šajā šis šo šī šīs",
    "nl": "aan al alle als beide bij dan dat de deze die dit doen door dus een eens en er "
    "geen geweest had hebben heeft het hij hoe hoeveel hun ik in is ja je jij kan kon "
    "kunnen maar me meer men met mijn moet na naar niet niets nog nu of om omdat onder "
    "ons ook op over te tegen toch toen tot tussen u uit van veel voor waar waarom "
    "wanneer waren was wat we welk welke werd werden wie wij worden wordt zal ze zei "
    "zich zij zijn zo zonder zou",
    "no": "aldri alle alltid andre annen annet at av bare ble bli blir blitt bruker både da "
    "de deg dem den denne der deres det dette din disse du eller en enn er et etter "
    "finnes flere for fordi fra får før gjennom gjør gjøre går hadde ham han hans har "
    "henne her hos hun hva hvem hvilke hvilken hvilket hvis hvor hvordan hvorfor i ikke "
    "ikkje inn jeg kalles kan kom komme kunne ligger man mange med meg meget mellom men "
    "mens mer mest min mot må noe noen nå når og også om opp oss over på samt seg selv "
    "siden sin skal skulle slik som så tid til under ut uten var ved vi vil ville vår "
    "våre være vært å år",
    "pl": "a aby albo ale ani aż bardzo bez być był była było były co czy dla do gdy gdzie go "
    "i ich ile ja jak jaka jaki jakie jako jego jej jest jeszcze jeśli już kiedy kto "
    "która które który których którzy ma mnie może można na nad nie niż o od oraz po "
    "pod podczas poza przed przez przy się są tak także tam te tego tej ten to tu tylko "
    "tym u w we więc wszystkie z za ze że",
    "pt": "a agora ainda algumas alguns além ano anos ao aos apenas após aquela aquele aqui "
    "as assim até cada com como contra cuja cujo da das de dela dele depois desde deve "
    "devem do dos durante e ela elas ele eles em entre era eram essa esse esta estava "
    "estavam este está estão eu fazer foi foram havia houve há isso isto já lhe maior "
    "mais mas me menos mesma mesmo meu muito muitos na nas nem nenhum nenhuma nessa "
    "nesta no nos num numa nunca não nós o onde os ou outra outras outro outros para "
    "parte pela pelas pelo pelos pode podem por porque quais qual quando quantas quanto "
    "quantos que quem se seja sem sempre ser seu seus sob sobre sua suas são só também "
    "te tem teve tinha toda todas todo todos têm um uma uns vai vez você à às é",
    "ro": "a acea aceasta această acest acestea al ale am ar are asupra au avea ați ca care "
    "ce cea cei cel cele cine cu cum când cât câte câți că da dacă dar de deci despre "
    "din dintre după ea ei el era este eu fi fie fiecare foarte fost i iar l la le li "
    "lor lui mai mult mulți ne nici nu o ori pe pentru peste poate prin sa sale sau se "
    "spre sub sunt să te toate tot toți un unde unei unor unui va îi în într între își "
    "și",
    "sk": "a aby aj ak ako ale alebo ani až bez bol bola boli bolo by byť cez do ešte ho i "
    "ich ja je jeho jej ju každý kde kedy keď koľko kto ktorá ktoré ktorí ktorý ktorých "
    "ku majú medzi musí má môže môžete na nad nemôže než nie o od po pod podľa pre pred "
    "prečo pri sa si som sú tak tento tieto to toho táto týchto tým u už v viac vo však "
    "všetky z za zadajte zo čo že",
    "sl": "a ali ampak bi bil bila bili bilo biti bo bodo brez da do ga hoteli ima in iz ja "
    "je jih jo kadar kaj kako kakor katera katere kateri kdaj kdo ker ki kje ko koliko "
    "kot lahko le manj med mi mora morajo na nad ne nekaj ni nima niso njegov njihov o "
    "ob od on pa po pod pred pri proti samo se si smo so sta ste svoj ta tako te tega "
    "teh temu ter to tudi v ve več vsak vse vsi z za zakaj zaradi če že",
    "sv": "alla att av bara blev bli blir de dem den denna deras dess det detta dig din du "
    "där då efter eller en er ett från får för före genom ha hade han hans har henne "
    "hennes hon honom hos hur här i icke in innan inte jag kan kunde man med mellan men "
    "mer mig min mot mycket många måste ni nu när någon något några och också om oss på "
    "sedan sig sin sina själv ska skall skulle som så till under upp ut utan vad var "
    "vara varför varit varje vem vi vid vilka vilken vilket vill än är åt över",
    "tr": "acaba ama ancak artık aslında az bana bazı ben beni bir biri birçok bu buna bunu "
    "bunun da daha de değil diye en gibi göre hangi hem hep her hiç ile ise için kadar "
    "karşı kaç kendi ki kim kime mi mu mü mı nasıl ne neden nerede niçin o olan olarak "
    "oldu olduğu olduğunu olması olur on ona ondan onlar onu onun sadece sonra "
    "tarafından tüm var ve veya ya yani yok zaman çok çünkü önce şey şu",
    "vi": "ai anh bao bạn bị bởi cho chúng chỉ các cách cái còn có cùng cũng cần của do em "
    "giữa gì hai hay hoặc hơn khi không là làm lại mà mình một nhiêu nhiều như nhưng "
    "những nào này nên năm nếu phải qua ra rất sau sẽ số theo thì thế thể trong trên "
    "trước tôi tại tới từ và vào vì vẫn về với đang đã đó được đến để ở",
    "be": "а аб або ад але бы была было былі быў ва вы гэта гэтага гэты да дзе для ж з за каб "
    "калі колькі мы на не ні па пад пра праз пры сам сваю так таксама такі то той "
    "толькі у хто ці чаму чым што яго як якая які якія яна яны яшчэ ён і іх ў",
    "bg": "а ако беше би бил била били бъде бяха в вече все във година да до докато други е "
    "за заради защо и из или им има как каква какво както какъв кога когато кого което "
    "кои които кой който колко която къде към ли между ми много може на над не него нея "
    "ни но някои няма от още по под поради преди през при с са само своите своя се си "
    "след със също тази така там те тези то това този трябва тях че ще",
    "mk": "а ако беше биде бил била биле ги го да дека до е за зошто и или им има исто каде "
    "како кога кое кои колку кон кој која ли ми многу може на над не неа него низ но од "
    "околу по под поради пред преку при с само се сега си сите со сум таа така тие тоа "
    "тој уште што ја",
    "ru": "а без более будет будут бы был была были было быть в вам вас ведь во вот время все "
    "всего всех вы где года году да даже для до должен должна должно должны другие "
    "других его ее если есть еще ещё её же за здесь и из или им имеет их к каждого "
    "каждый как какая какие каким каких какого какой каком какому какую кем ко когда "
    "кого кому которая которого которой которые который которых кроме кто куда лет ли "
    "любой между меня мне могут может можно мы на над находится не него нее ней нельзя "
    "нет ни них но нужно о об однако он она они оно от откуда очень по под пока после "
    "потому почему при про разных с своего своей свои своих свою себя сейчас сколько со "
    "так также такие такого такой там те тем то того тоже только том ты у уже часть "
    "чего чей чем чему через что чтобы чьи чья эта эти этих это этого этой этом этот я "
    "является",
    "sr": "а ако али би била били било био бити већ га где да до док за зашто због и из или "
    "их када како као код колико која које који којим коју кроз ли међу може на над "
    "након не него неки нема нису није но о ова овај ово од он она они по под пре према "
    "при с са само све сви се смо су та тако такође тај те ти то тога у уз шта што ја "
    "је јер јесу још његов њих",
    "uk": "а або адже але без був була були було бути більше в вам вас вже ви вона вони все "
    "всі від він де для до же з з'єднання за зараз зі й його кого коли кому крім мене "
    "ми може можна між на над нам не них ні ній о об однак по повинен потрібно при про "
    "під після року років саме свою своєї своїх себе скільки та так такий також такі "
    "там те ти тим то того той тому треба тут тільки у хто це цей цього ця ці час через "
    "чи чому ще що щоб я як яка яке який яким якими яких якого якої якщо які є і із "
    "інші їх їхній її",
    "ar": "أن أو أي أين إذا إلى إن التي الذي الذين الى ان او بعد به بها بين تم ثم حتى حول "
    "خلال ذلك عام على عليه عن عند عندما غير فى في فيه فيها قبل قد كان كانت كل كم كما "
    "كيف لا لقد لم لماذا لن له لها ليس ما ماذا متى مثل مع من منذ منها هذا هذه هل هم "
    "هناك هو هي وفي وقد وكان ولا ومن وهو وهي يكون يمكن",
    "fa": "آن آنها از است اما ان اند اگر این با باید برای به بود بودند بین تا تر توسط خود داد "
    "دارد در دو را شد شدند شده شود ما من می نیز نیست های هر هستند هم همه و وی چرا چند "
    "چه چگونه چیست کجا کدام کرد کردن کرده کسی کند کنند کنید که یا یک",
    "ur": "اس ان اور اپنی اپنے اگر ایک بعد بھی تو تک تھا تھی تھے جا جب جس جو دیا ساتھ سے لئے "
    "لیے مگر میں نہیں نے وہ پر کا کب کتنے کر کرتے کرنے کس کو کون کہ کہاں کی کیا کیسے "
    "کیوں کے گئی گئے گیا ہم ہو ہوا ہوتا ہوتی ہونے ہیں ہے یا یہ",
    "hi": "अपनी अपने आप इस इसके उन उनके उस एक ऐसे और कब कर करता करते करना करने कहाँ कहां का "
    "कि कितने किया किस किसी की के कैसे को कौन क्या क्यों गए गया जब जा जो तक तो था थी थे "
    "दिया द्वारा नहीं ने पर बाद भी में यह या ये रहा लिए वह साथ से हुआ हुई हुए है हैं हो "
    "होता होने",
    "mr": "अशा असे आणि आता आपल्या आला आली आहे आहेत एक कधी करण्यात कसे का काय कारण किंवा किती "
    "की कुठे केला केली केले कोण च तर ती ते तो त्या त्यांना त्यांनी त्याच्या ना नाही पण "
    "मध्ये मी म्हणून या यांनी व वर सर्व साठी हा ही हे होता होती होते",
    "ne": "अथवा अनि अर्को आफ्नो एउटा एक कति कसरी कहाँ का किन कुन कुनै के को गरिएको गरे गरेको "
    "गर्न गर्नुहोस् गर्ने छ छन् छैन जस्तै त तथा तर ती थिए थियो दिन देखि न नै पनि पर्छ "
    "भएको भने भन्दा भन्ने भयो म मा यदि यस यी यो र रहेको रूपमा लाई लागि ले वा सँग सबै "
    "हुन हुनुहुन्छ हुने हो",
}
"""Frequent words of each language that shares its script with others, in lower case."""

OWN_LETTERS: Mapping[str, str] = {
    "à": "ca fr it pt",
    "ą": "lt pl",
    "ä": "de et fi sk sv",
    "å": "da no sv",
    "ã": "pt",
    "ă": "ro vi",
    "â": "fr pt ro",
    "æ": "da is no",
    "ç": "ca fr pt tr",
    "č": "cs hr lt lv sk sl",
    "ć": "hr pl",
    "đ": "hr vi",
    "ð": "is",
    "ě": "cs",
    "ę": "lt pl",
    "ê": "fr pt vi",
    "è": "ca fr it",
    "ė": "lt",
    "ğ": "tr",
    "ı": "tr",
    "î": "fr ro",
    "ľ": "sk",
    "ł": "pl",
    "ñ": "es gl",
    "ň": "cs sk",
    "ń": "pl",
    "õ": "et pt",
    "ö": "de et fi hu is sv tr",
    "ő": "hu",
    "ø": "da no",
    "ř": "cs",
    "ß": "de",
    "š": "cs hr lt lv sk sl",
    "ș": "ro",
    "ş": "ro tr",
    "ś": "pl",
    "ț": "ro",
    "ţ": "ro",
    "ů": "cs",
    "ü": "de et hu tr",
    "ű": "hu",
    "ū": "lt lv",
    "ż": "pl",
    "ž": "cs et hr lt lv sk sl",
    "þ": "is",
    "ъ": "bg",
    "ы": "be ru",
    "э": "be ru",
    "ё": "be ru",
    "ў": "be",
    "і": "be uk",
    "ї": "uk",
    "є": "uk",
    "ґ": "uk",
    "ј": "mk sr",
    "љ": "mk sr",
    "њ": "mk sr",
    "ђ": "sr",
    "ћ": "sr",
    "џ": "mk sr",
    "ѓ": "mk",
    "ќ": "mk",
    "ѕ": "mk",
    "پ": "fa ur",
    "چ": "fa ur",
    "گ": "fa ur",
    "ژ": "fa",
    "ی": "fa ur",
    "ک": "fa ur",
    "ٹ": "ur",
    "ڈ": "ur",
    "ڑ": "ur",
    "ں": "ur",
    "ے": "ur",
    "ہ": "ur",
    "ة": "ar",
    "ى": "ar",
    "إ": "ar",
    "ळ": "mr",
}
"""Letters with the few of these languages that use them."""
