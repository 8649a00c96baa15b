"""The official OpenAI client and LangChain against a real server."""

import base64

import numpy as np
import pytest
from openai import BadRequestError, NotFoundError, OpenAI, UnprocessableEntityError

from mmsdk.runtime import Runtime

from .conftest import DATA
from .running import Running

QUESTION = "How long is the guarantee on a backpack?"


@pytest.fixture
def openai(server: Running) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_chat_completion(openai: OpenAI) -> None:
    done = openai.chat.completions.create(model="shop", messages=[{"role": "user", "content": QUESTION}])
    evidence = (done.model_extra or {})["mmsdk"]
    assert evidence["status"] == "answered"
    assert evidence["citations"][0]["quote"]
    assert done.choices[0].message.content
    assert done.usage
    assert done.usage.total_tokens > 0


def test_chat_completion_streams(openai: OpenAI) -> None:
    stream = openai.chat.completions.create(
        model="shop",
        messages=[
            {"role": "user", "content": "Tell me about the guarantee on a backpack."},
            {"role": "assistant", "content": "It has one."},
            {"role": "user", "content": "How long is it?"},
        ],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    last = next(chunk for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason)
    assert text
    assert (last.model_extra or {})["mmsdk"]["status"] == "answered"
    assert chunks[-1].usage


def test_pictures_and_recordings_are_parts_of_a_question(openai: OpenAI) -> None:
    picture = base64.b64encode((DATA / "pictures" / "store-map.png").read_bytes()).decode()
    recording = base64.b64encode((DATA / "recordings" / "tip-boots.mp3").read_bytes()).decode()
    done = openai.chat.completions.create(
        model="shop",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is on this map?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}},
                ],
            }
        ],
    )
    assert "store-map.png" in [hit["source"] for hit in (done.model_extra or {})["mmsdk"]["hits"]]
    spoken = openai.chat.completions.create(
        model="shop",
        messages=[
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": recording, "format": "mp3"}}]}
        ],
    )
    assert (spoken.model_extra or {})["mmsdk"]["hits"][0]["source"] == "tip-boots.mp3"


def test_errors_are_those_of_the_client(openai: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="no collection 'none'"):
        openai.chat.completions.create(model="none", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(UnprocessableEntityError, match="of the user"):
        openai.chat.completions.create(model="shop", messages=[{"role": "assistant", "content": "x"}])
    with pytest.raises((BadRequestError, UnprocessableEntityError), match="tools"):
        openai.chat.completions.create(
            model="shop",
            messages=[{"role": "user", "content": "x"}],
            tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}],
        )
    with pytest.raises(UnprocessableEntityError, match="response_format"):
        openai.chat.completions.create(
            model="shop", messages=[{"role": "user", "content": "x"}], response_format={"type": "json_object"}
        )


def test_embeddings_are_those_of_the_encoder(openai: OpenAI, bundled: Runtime) -> None:
    texts = ["A tent for two.", "退货政策", ""]
    made = openai.embeddings.create(model="text:all-MiniLM-L6-v2", input=texts)
    expected = bundled.encoders()[0].encode(texts, role="document")
    np.testing.assert_allclose([one.embedding for one in made.data], expected, atol=5e-3)  # tests may run in bfloat16
    plain = openai.embeddings.create(model="all-MiniLM-L6-v2", input="A tent for two.", encoding_format="float")
    np.testing.assert_allclose(plain.data[0].embedding, made.data[0].embedding, atol=1e-5)


def test_pictures_are_embedded_in_the_same_space(openai: OpenAI) -> None:
    picture = (DATA / "pictures" / "store-map.png").read_bytes()
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    made = openai.embeddings.create(model="text:all-MiniLM-L6-v2", input=[url, "a map"])
    assert np.linalg.norm(made.data[0].embedding) == pytest.approx(1, abs=1e-4)


def test_token_ids_are_refused_with_advice(openai: OpenAI) -> None:
    with pytest.raises(UnprocessableEntityError, match="check_embedding_ctx_length"):
        openai.embeddings.create(model="all-MiniLM-L6-v2", input=[[1, 2, 3]])


@pytest.mark.parametrize("form", ["json", "text", "verbose_json", "srt", "vtt"])
def test_recordings_are_written_down(openai: OpenAI, form: str) -> None:
    with (DATA / "recordings" / "tip-boots.mp3").open("rb") as file:
        made = openai.audio.transcriptions.create(model="whisper-1", file=file, response_format=form)  # type: ignore[call-overload]
    text = made if isinstance(made, str) else made.text
    assert "boots" in text.lower()
    assert ("-->" in text) == (form in ("srt", "vtt"))


def test_models_are_collections_encoders_and_the_transcriber(openai: OpenAI) -> None:
    listed = {model.id for model in openai.models.list()}
    assert {"shop", "text:all-MiniLM-L6-v2"} <= listed
    assert openai.models.retrieve("shop").id == "shop"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_langchain_asks_and_streams(server: Running) -> None:
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(base_url=f"{server.url}/v1", api_key="none", model="shop", max_retries=0)
    assert "guarantee" in str(model.invoke(QUESTION).content).lower() or "year" in str(model.invoke(QUESTION).content)
    assert "".join(str(chunk.content) for chunk in model.stream(QUESTION))
