"""The words of the page of chains."""

from __future__ import annotations

TEXT = {
    "tab_chains": ("Markov chains → diffusion", "마르코프 체인 → 확산"),
    "chains_title": ("From Markov chains to diffusion", "마르코프 체인에서 확산까지"),
    "chains_lead": (
        "<b>Monte Carlo</b> answers questions about a distribution with samples from it. But where do samples come from, if "
        "all you have is the density? Here are <b>five ways to walk there</b>, each mending the one before; the last "
        "one is diffusion. All start at the same place and may take the same number of steps.",
        "<b>몬테카를로</b>는 어떤 분포에 대한 질문에 그 분포에서 뽑은 표본으로 답합니다. 그런데 가진 것이 밀도뿐이라면 표본은 "
        "어디서 구할까요? <b>표본까지 걸어가는 다섯 가지 방법</b>이 있고, 각각은 앞의 방법을 고친 것이며, 마지막이 확산입니다. "
        "모두 같은 자리에서 출발해 같은 수만큼 걷습니다.",
    ),
    "target": ("Target", "목표 분포"),
    "target_info": ("The density to sample from: the darker, the likelier", "표본을 뽑을 밀도: 진할수록 확률이 높습니다"),
    "target_hills": ("eight hills", "언덕 여덟 개"),
    "target_moons": ("two moons", "초승달 두 개"),
    "target_ring": ("ring", "고리"),
    "target_drawn": ("draw your own", "직접 그리기"),
    "points_here": (
        "<b>Draw the target</b>: your initial, a smile, a few islands. Every point becomes a small hill; points left: {left}.",
        "<b>목표 분포를 그려 보세요.</b> 이름 첫 글자도, 웃는 얼굴도, 섬 몇 개도 좋습니다. 점마다 작은 언덕이 됩니다. 남은 점: {left}",
    ),
    "chains": ("Chains", "체인 수"),
    "chains_info": ("How many walk at once; chain k has seed + k", "한꺼번에 걷는 체인 수. k번째 체인의 시드는 시드 + k입니다"),
    "chain_steps": ("Steps", "걸음 수"),
    "chain_steps_info": ("The budget of every method: one look at the target a step", "모든 방법에 똑같이 주는 예산: 한 걸음에 한 번 목표를 봅니다"),
    "chain_seed_info": ("The number that decides all randomness here", "여기서 모든 우연을 정하는 수"),
    "start": ("Start", "출발점"),
    "start_info": ("or click into a picture", "또는 그림 속을 누르세요"),
    "start_noise": ("each from noise", "저마다의 잡음에서"),
    "try": ("Try", "해 보기"),
    "situation_corner": ("Far corner", "먼 구석에서"),
    "situation_short": ("Tiny steps", "너무 짧은 걸음"),
    "situation_long": ("Huge steps", "너무 긴 걸음"),
    "situation_noise": ("From noise", "잡음에서"),
    "situation_hop": ("Long hops, DDIM", "멀리 뛰기, DDIM"),
    "method_metropolis": ("1 Metropolis", "1 메트로폴리스"),
    "method_metropolis_says": (
        'Propose a random step. Uphill: <b class="pg-go-on">go ○</b>. Downhill: go only sometimes, else <b class="pg-stay">stay ×</b>.',
        '아무 쪽으로나 한 걸음 제안합니다. 오르막이면 <b class="pg-go-on">가고 ○</b>, 내리막이면 가끔만 가고 아니면 <b class="pg-stay">머뭅니다 ×</b>.',
    ),
    "method_metropolis_more": (
        "Propose x′ = x + σξ with ξ ~ N(0, I). Accept it with probability min(1, p(x′) / p(x)), otherwise stay at x. Only the "
        "<i>ratio</i> of densities is needed, and then p(x) P(x→x′) = p(x′) P(x′→x): <b>detailed balance</b>, so the chain "
        "keeps p. Short steps crawl, long ones are rejected, and a valley between two hills stops both. "
        "<small>Metropolis et al. 1953, Hastings 1970</small>",
        "x′ = x + σξ, ξ ~ N(0, I)를 제안하고 확률 min(1, p(x′) / p(x))로 받아들입니다. 아니면 x에 머뭅니다. 밀도의 <i>비</i>만 "
        "알면 되고, p(x) P(x→x′) = p(x′) P(x′→x), 곧 <b>세부 균형</b>이 성립해 체인이 p를 지킵니다. 짧은 걸음은 기어가고, "
        "긴 걸음은 거절당하며, 언덕 사이의 골짜기는 둘 다 막습니다. <small>Metropolis et al. 1953, Hastings 1970</small>",
    ),
    "method_langevin": ("2 Langevin", "2 랑주뱅"),
    "method_langevin_says": (
        "Ask the target for its slope (the arrows, the “score”): a step uphill and a random push.",
        "목표에 기울기(화살표, ‘스코어’)를 물어 오르막으로 한 걸음 가고 무작위로 살짝 밀립니다.",
    ),
    "method_langevin_more": (
        "x ← x + ½ε² ∇log p(x) + εξ. The score ∇log p(x) needs no normalised density. Every step is taken, so large ones blur the "
        "target, and above ε ≈ 2 × the width of a hill the chain flies off; <i>adjusted</i> (MALA) accepts and rejects as "
        "Metropolis does, and is exact again. Far from all hills the slope only leads to the nearest one. "
        "<small>Roberts and Tweedie 1996</small>",
        "x ← x + ½ε² ∇log p(x) + εξ. 스코어 ∇log p(x)에는 정규화된 밀도가 필요 없습니다. 모든 걸음을 받아들이므로 걸음이 크면 "
        "목표가 번지고, ε이 언덕 너비의 두 배쯤을 넘으면 날아가 버립니다. <i>보정</i>(MALA)을 켜면 메트로폴리스처럼 받아들이거나 "
        "거절해 다시 정확해집니다. 언덕에서 멀면 기울기는 가장 가까운 언덕으로만 이끕니다. "
        "<small>Roberts and Tweedie 1996</small>",
    ),
    "method_annealed": ("3 Annealed Langevin", "3 담금질 랑주뱅"),
    "method_annealed_says": (
        "Drown the target in noise until all hills are one, then walk while the noise is turned down, level by level.",
        "언덕이 모두 하나로 합쳐질 만큼 목표를 잡음에 잠기게 한 뒤, 잡음을 단계별로 줄이면서 걷습니다.",
    ),
    "method_annealed_more": (
        "Langevin on p<sub>a</sub>, the density of √a·x + √(1−a)·noise, for a few levels a from pure noise to the target. Where "
        "noise has filled the valleys every chain finds its way, and steps may be long: ε grows with the noise. With one "
        "level this is exactly Langevin. <small>Song and Ermon 2019</small>",
        "순수한 잡음부터 목표까지 몇 단계의 a에 대해, √a·x + √(1−a)·잡음의 밀도 p<sub>a</sub> 위에서 랑주뱅을 합니다. 잡음이 골짜기를 "
        "메운 곳에서는 어느 체인이든 길을 찾고 걸음도 길어도 됩니다(ε은 잡음과 함께 커집니다). 단계가 하나면 바로 랑주뱅입니다. "
        "<small>Song and Ermon 2019</small>",
    ),
    "method_diffusion": ("4 Diffusion", "4 확산"),
    "method_diffusion_says": (
        "Turn the noise down a little at every single step: each step of the chain has its own noise level.",
        "걸음마다 잡음을 조금씩 줄입니다. 체인의 걸음 하나하나가 저마다의 잡음 단계를 갖습니다.",
    ),
    "method_diffusion_more": (
        "The reverse of drowning: the noise in x<sub>t</sub> is ε = −√(1−a) ∇log p<sub>a</sub>(x<sub>t</sub>), known exactly here, "
        "and the sampler takes a little of it away. The same samplers as for pictures. DDIM adds no noise of its own: one "
        "start, one end. <small>Ho et al. 2020, Song et al. 2021</small>",
        "잠기게 한 과정을 거꾸로 돌립니다. x<sub>t</sub> 속의 잡음은 ε = −√(1−a) ∇log p<sub>a</sub>(x<sub>t</sub>)이고, 여기서는 정확히 알 수 "
        "있습니다. 샘플러가 그 잡음을 조금씩 덜어 냅니다. 그림을 만들 때와 같은 샘플러입니다. DDIM은 잡음을 더하지 않아서 출발점이 "
        "하나면 도착점도 하나입니다. <small>Ho et al. 2020, Song et al. 2021</small>",
    ),
    "method_learned": ("5 Diffusion, learnt", "5 학습한 확산"),
    "method_learned_says": (
        "Nobody tells the slope: a small network has learnt it from {points} example points (see below).",
        "기울기를 아무도 알려 주지 않습니다. 작은 신경망이 예시 점 {points}개에서 배운 것입니다(아래 참고).",
    ),
    "method_learned_more": (
        "The network is shown noisy points and says which part is noise; that <i>is</i> the score, up to a factor. So the density is no "
        "longer needed, examples are enough: this is how pictures are made. <small>Vincent 2011, Ho et al. 2020</small>",
        "신경망은 잡음 섞인 점을 보고 어디까지가 잡음인지 말합니다. 그것이 곧 (배수만 다른) 스코어입니다. 그래서 밀도는 더 필요 없고 "
        "예시만 있으면 됩니다. 그림도 이렇게 만듭니다. <small>Vincent 2011, Ho et al. 2020</small>",
    ),
    "formula": ("The formula", "수식 보기"),
    "terms": ("What the numbers say", "숫자가 말하는 것"),
    "term_acceptance": ("Acceptance", "수락률"),
    "term_acceptance_says": (
        "How many proposals a chain takes: near 100 % its steps are too timid, near 0 % too bold, a quarter to a half is healthy.",
        "제안 가운데 받아들인 비율입니다. 100 %에 가까우면 걸음이 너무 소심하고 0 %에 가까우면 너무 대담합니다. 4분의 1에서 절반이면 "
        "건강합니다.",
    ),
    "term_trace": ("Trace", "궤적"),
    "term_trace_says": (
        "Where a chain is at every step: lines that keep crossing each other are good, lines in lanes of their own are stuck.",
        "걸음마다 체인이 어디 있는지 그린 선입니다. 선들이 서로 계속 엇갈리면 좋고, 저마다의 길에 머물면 갇힌 것입니다.",
    ),
    "term_autocorrelation": ("Autocorrelation", "자기상관"),
    "term_autocorrelation_says": (
        "How much a chain still remembers of where it was some steps ago: the sooner the bars sink to 0, the better.",
        "몇 걸음 전에 어디 있었는지를 체인이 얼마나 기억하는지입니다. 막대가 빨리 0으로 내려갈수록 좋습니다.",
    ),
    "term_ess": ("ESS, effective sample size", "ESS, 유효 표본 크기"),
    "term_ess_says": (
        "How many independent samples all these draws are worth: neighbours in a chain resemble each other, so fewer.",
        "뽑은 것 모두가 독립 표본 몇 개의 값어치인지입니다. 한 체인의 이웃한 표본들은 서로 닮아서 그보다 적습니다.",
    ),
    "term_r_hat": ("R̂", "R̂"),
    "term_r_hat_says": (
        "Whether the chains tell the same story: 1 when they agree, and up to 1.01 is usually asked for.",
        "체인들이 같은 이야기를 하는지입니다. 일치하면 1이고, 보통 1.01 이하를 요구합니다.",
    ),
    "term_distance": ("Distance to the target", "목표까지의 거리"),
    "term_distance_says": (
        "How well the places of all chains now could be told from exact samples: green with ✓ means not at all.",
        "지금 체인들이 있는 자리를 정확한 표본과 얼마나 구별할 수 있는지입니다. 초록색 ✓는 구별할 수 없다는 뜻입니다.",
    ),
    "numbers": ("The formulas", "수식 보기"),
    "numbers_more": (
        "<b>Autocorrelation</b> at lag k: ρ<sub>k</sub> = 1 − E[(x<sub>s</sub> − x<sub>s+k</sub>)²] / 2Var(x), about the mean of all "
        "chains. <b>ESS</b> = N / (1 + 2 Σ ρ<sub>k</sub>). <b>R̂</b> = √(variance of all chains together / mean variance within a "
        "chain), ranks instead of places. All three leave out the first half of the steps, the way from the start; the coordinate "
        "that mixes worse counts. They know only what the chains have seen: if all are stuck on the same hill, all looks well. "
        "ArviZ computes them. <b>Distance</b>: the energy distance 2 E‖X−Y‖ − E‖X−X′‖ − E‖Y−Y′‖ of the chains X from 512 exact samples Y; "
        "as many exact samples as there are chains stay below the second number 19 times out of 20. <b>Hills reached</b>: with at least a "
        "quarter of the chains that belong there. <small>Székely and Rizzo 2013, Vehtari et al. 2021</small>",
        "<b>자기상관</b>(k걸음 차이): ρ<sub>k</sub> = 1 − E[(x<sub>s</sub> − x<sub>s+k</sub>)²] / 2Var(x), 모든 체인의 평균을 기준으로 "
        "합니다. <b>ESS</b> = N / (1 + 2 Σ ρ<sub>k</sub>). <b>R̂</b> = √(모든 체인을 합친 분산 / 체인 안의 분산 평균), 위치 대신 순위로 "
        "계산합니다. 셋 다 출발점에서 오는 길인 앞 절반을 빼고, 두 좌표 가운데 더 느리게 섞이는 쪽을 봅니다. 체인이 본 것만 알기 때문에 모두 "
        "같은 언덕에 갇히면 다 좋아 보입니다. ArviZ로 계산합니다. <b>거리</b>: 체인 X와 정확한 표본 512개 Y 사이의 에너지 거리 "
        "2 E‖X−Y‖ − E‖X−X′‖ − E‖Y−Y′‖입니다. 체인 수만큼의 정확한 표본이라면 스무 번 가운데 열아홉 번은 두 번째 수보다 작습니다. "
        "<b>찾은 언덕</b>: 거기 있어야 할 체인의 4분의 1 이상이 있는 언덕의 수입니다. <small>Székely and Rizzo 2013, Vehtari et al. 2021</small>",
    ),
    "waiting_for_network": (
        "Its network has to learn first: watch it further down.",
        "신경망이 먼저 배워야 합니다. 아래에서 지켜볼 수 있습니다.",
    ),
    "proposal_size": ("Proposal size σ", "제안 크기 σ"),
    "step_size": ("Step size ε", "걸음 크기 ε"),
    "langevin": ("Accept and reject?", "받아들이기와 거절"),
    "langevin_unadjusted": ("no", "안 함"),
    "langevin_adjusted": ("yes (MALA)", "함 (MALA)"),
    "levels": ("Noise levels", "잡음 단계 수"),
    "plane_sampler": ("Sampler", "샘플러"),
    "plane_sampler_ddpm": ("DDPM", "DDPM"),
    "plane_sampler_ddim": ("DDIM", "DDIM"),
    "plane_sampler_dpmpp": ("DPM-Solver++", "DPM-Solver++"),
    "step_shared": ("ε is that of Langevin, on the left.", "ε은 왼쪽 랑주뱅의 것을 씁니다."),
    "sampler_shared": ("The sampler is that of 4.", "샘플러는 4번의 것을 씁니다."),
    "now_distance": ("distance to the target", "목표까지의 거리"),
    "now_floor": ("exact samples: below {floor}", "정확한 표본이면 {floor} 이하"),
    "now_modes": ("hills reached", "찾은 언덕"),
    "now_level": ("noise", "잡음"),
    "strip_trace": ("traces", "궤적"),
    "strip_autocorrelation": ("autocorrelation", "자기상관"),
    "strip_distance": ("distance", "거리"),
    "strip_trace_says": ("left and right, of the five coloured chains", "색칠한 체인 다섯 개의 좌우 위치"),
    "strip_autocorrelation_says": (
        "how much a draw still resembles the one 1 … 100 steps before",
        "1 … 100걸음 전의 표본과 얼마나 닮았는지",
    ),
    "strip_autocorrelation_none": (
        "no autocorrelation: every chain gives one sample, at its end",
        "자기상관 없음: 체인마다 끝에서 표본 하나씩만 얻습니다",
    ),
    "strip_distance_says": (
        "distance to the target over the steps; dashed: exact samples",
        "걸음에 따른 목표까지의 거리, 점선은 정확한 표본",
    ),
    "under": ("Below:", "아래:"),
    "play_slow": ("slow", "천천히"),
    "play_normal": ("normal", "보통"),
    "play_fast": ("fast", "빠르게"),
    "step_of": ("step", "걸음"),
    "update_of": ("update", "갱신"),
    "chains_save": ("Save GIF", "GIF 저장"),
    "accepted": ("accepted <b>{share} %</b> of the proposals", "제안의 <b>{share} %</b>를 받아들임"),
    "effective": (
        "{draws} draws are worth <b>{ess}</b> independent ones (ESS)",
        "뽑은 {draws}개는 독립 표본 <b>{ess}</b>개 값어치 (ESS)",
    ),
    "r_hat_agree": ("R̂ = <b>{r_hat}</b>: the chains agree", "R̂ = <b>{r_hat}</b>: 체인들이 서로 일치"),
    "r_hat_disagree": (
        "R̂ = <b>{r_hat}</b>: the chains still disagree (1.01 is wanted)",
        "R̂ = <b>{r_hat}</b>: 체인들이 아직 엇갈림 (1.01 이하라야 함)",
    ),
    "no_diagnosis": ("too few draws for R̂ and ESS", "R̂과 ESS를 내기에는 표본이 너무 적습니다"),
    "independent": ("{chains} chains, {chains} independent samples: one a chain, at its end", "체인 {chains}개에서 독립 표본 {chains}개: 체인마다 끝에서 하나"),
    "flew_off": ("Some chains have left the plane: the steps are too long for these hills.", "체인이 평면 밖으로 날아갔습니다. 이 언덕에는 걸음이 너무 깁니다."),
    "learning_title": ("Or learn to jump there at once", "아니면 한 번에 뛰어가는 법을 배우기"),
    "learning_lead": (
        "Three small networks learn from the same {points} points (grey) while you watch, from the same noise. The first is the "
        "one that chain 5 asks. GAN and VAE need no chain: <b>one pass</b> takes noise to a sample. The mesh shows where a "
        "regular net over the noise z comes to lie.",
        "작은 신경망 세 개가 같은 점 {points}개(회색)로, 같은 잡음에서 출발해 지금 배우고 있습니다. 첫째가 5번 체인이 묻는 "
        "신경망입니다. GAN과 VAE에는 체인이 필요 없습니다. <b>한 번 통과</b>하면 잡음이 표본이 됩니다. 그물은 잡음 z 위의 고른 "
        "그물이 어디로 옮겨지는지 보여 줍니다.",
    ),
    "learner_diffusion": ("Diffusion", "확산"),
    "learner_diffusion_says": (
        "Says what in a noisy point is noise; the arrows are the slope that it believes in. {steps} steps a sample.",
        "잡음 섞인 점에서 무엇이 잡음인지 말합니다. 화살표는 신경망이 믿는 기울기입니다. 표본마다 {steps}걸음.",
    ),
    "learner_diffusion_losses": ('<b style="color:#7c3aed">error</b> of the predicted noise', '예측한 잡음의 <b style="color:#7c3aed">오차</b>'),
    "learner_gan": ("GAN", "GAN"),
    "learner_gan_says": (
        "Counterfeiter against police. Blue: where the police rather believe it real, orange: rather fake.",
        "위조범과 경찰의 대결. 파랑은 경찰이 진짜라고 보는 편인 곳, 주황은 가짜라고 보는 편인 곳입니다.",
    ),
    "learner_gan_losses": ('loss of the <b style="color:#1971c2">police</b> and the <b style="color:#d9480f">counterfeiter</b>', '<b style="color:#1971c2">경찰</b>과 <b style="color:#d9480f">위조범</b>의 손실'),
    "learner_vae": ("VAE", "VAE"),
    "learner_vae_says": (
        "Squeezes points into clouds over z and unfolds them; between two hills it has to draw a bridge.",
        "점을 z 위의 구름으로 줄였다가 다시 펼칩니다. 두 언덕 사이에는 다리를 놓을 수밖에 없습니다.",
    ),
    "learner_vae_losses": ('<b style="color:#2563eb">reconstruction</b> and <b style="color:#0ca678">KL</b>, nats', '<b style="color:#2563eb">재구성</b>과 <b style="color:#0ca678">KL</b>, nat'),
    "learner_diffusion_more": (
        "Minimises E‖ε − ε<sub>θ</sub>(√a·x + √(1−a)·ε, a)‖² over points x, noise ε and levels a. "
        "<small>Ho et al. 2020, Algorithm 1</small>",
        "점 x, 잡음 ε, 단계 a에 대해 E‖ε − ε<sub>θ</sub>(√a·x + √(1−a)·ε, a)‖²를 줄입니다. <small>Ho et al. 2020, Algorithm 1</small>",
    ),
    "learner_gan_more": (
        "The police D raise E[log D(x)] + E[log(1 − D(G(z)))], the counterfeiter G raises E[log D(G(z))]. A fast counterfeiter "
        "rushes to wherever slow police believe it, all z at once: <b>mode collapse</b>. "
        "<small>Goodfellow et al. 2014; penalty: Mescheder et al. 2018</small>",
        "경찰 D는 E[log D(x)] + E[log(1 − D(G(z)))]를, 위조범 G는 E[log D(G(z))]를 키웁니다. 느린 경찰이 믿어 주는 곳으로 빠른 위조범이 "
        "모든 z를 몰고 달려가면 <b>모드 붕괴</b>입니다. <small>Goodfellow et al. 2014; 벌점: Mescheder et al. 2018</small>",
    ),
    "learner_vae_more": (
        "Minimises E[−log N(x; dec(z), σ²)] + β·KL(q(z|x) ‖ N(0, I)), σ learnt too. A large β makes the cloud not worth its price: all "
        "points get the same one. <small>Kingma and Welling 2014, Higgins et al. 2017</small>",
        "E[−log N(x; dec(z), σ²)] + β·KL(q(z|x) ‖ N(0, I))를 줄이고 σ도 배웁니다. β가 크면 구름이 값을 못 해서 모든 점이 같은 "
        "구름을 갖습니다. <small>Kingma and Welling 2014, Higgins et al. 2017</small>",
    ),
    "updates": ("Updates", "갱신 횟수"),
    "updates_info": ("How often each network learns, a handful of points at a time", "신경망마다 점을 한 줌씩 보며 배우는 횟수"),
    "lr_generator": ("Counterfeiter's learning rate", "위조범의 학습률"),
    "lr_discriminator": ("Police's learning rate", "경찰의 학습률"),
    "discriminator_steps": ("Police's turns a round", "한 판에 경찰이 배우는 횟수"),
    "penalty": ("Penalty on steep judgement", "가파른 판정에 대한 벌점"),
    "beta": ("β, the price of the code", "β, 코드의 값"),
    "lesson_healthy": ("Healthy", "건강하게"),
    "lesson_collapse": ("Mode collapse", "모드 붕괴"),
    "lesson_blind": ("VAE that forgets its code (β = 4)", "코드를 잊는 VAE (β = 4)"),
    "learning_go": ("▶ Train", "▶ 배우기"),
    "learning_stop": ("■ Stop", "■ 멈추기"),
    "learning_waiting": ("Waiting for its turn …", "차례를 기다리는 중 …"),
    "learning_progress": ("learning: update {update} of {total}", "배우는 중: {total}번 가운데 {update}번째 갱신"),
    "learning_done": (
        "Learnt. Step through it, slow it down, or change something: only what depends on it learns anew.",
        "다 배웠습니다. 한 단계씩 보거나 천천히 돌려 보거나 무언가 바꿔 보세요. 그에 따라 달라지는 것만 다시 배웁니다.",
    ),
    "learning_stopped": ("Stopped after update {update} of {total}.", "{total}번 가운데 {update}번째 갱신에서 멈췄습니다."),
    "draw_something": ("Draw something first: at least one point.", "먼저 점을 하나라도 그려 주세요."),
}  # fmt: skip
